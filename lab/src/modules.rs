//! In which order the kernel's modules must be loaded, from `modules.dep`.

use std::collections::HashMap;

/// The paths to load, what is needed before what needs it. Names that are not there are built into the kernel, and skipped.
pub(crate) fn load_order<'a>(
    modules_dep: &'a str,
    wanted: &[&str],
) -> Result<Vec<&'a str>, String> {
    let mut files: HashMap<String, (&str, Vec<&str>)> = HashMap::new();
    for line in modules_dep.lines() {
        let (path, needs) = line
            .split_once(':')
            .ok_or_else(|| format!("{line:?} in modules.dep has no colon"))?;
        files.insert(
            module_name(path),
            (path, needs.split_whitespace().collect()),
        );
    }
    let mut order = Vec::new();
    for name in wanted {
        if let Some((path, needs)) = files.get(&module_name(name)) {
            // modules.dep lists all that a module needs, the most basic last.
            for needed in needs.iter().rev().chain([path]) {
                if !order.contains(needed) {
                    order.push(*needed);
                }
            }
        }
    }
    Ok(order)
}

fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let text = "kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_pci_modern_dev.ko kernel/drivers/virtio/virtio.ko\n\
                    kernel/drivers/virtio/virtio.ko:\n\
                    kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko\n";
        let order =
            load_order(text, &["virtio-pci", "virtio_blk", "built_in"]).expect("well-formed");
        assert_eq!(
            order,
            [
                "kernel/drivers/virtio/virtio.ko",
                "kernel/drivers/virtio/virtio_pci_modern_dev.ko",
                "kernel/drivers/virtio/virtio_pci.ko",
                "kernel/drivers/block/virtio_blk.ko",
            ]
        );
    }
}
