//! From what people type (`vm`, `vm/web`, `vol,pool`, `all`) to kinds and names.

use quorate_crds::KindInfo;

use crate::error::CliError;

/// Kinds that a person did not write and that `all` would drown in.
const NOT_IN_ALL: [&str; 4] = ["Event", "NodePlan", "Role", "RoleBinding"];

/// Objects that are asked for: one by its name, or all of a kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) kind: &'static KindInfo,
    pub(crate) name: Option<&'a str>,
}

impl Target<'_> {
    /// `virtualmachine/web`.
    pub(crate) fn reference(&self) -> String {
        format!("{}/{}", self.kind.singular, self.name.unwrap_or("*"))
    }
}

/// What is meant by `vm`, `vm,vol`, `all`, `vm web db` or `vm/web vol/data`.
pub(crate) fn targets(args: &[String]) -> Result<Vec<Target<'_>>, CliError> {
    let Some(first) = args.first() else {
        return Err(CliError::usage(
            "name a kind, like `vm`, or an object, like `vm/web`; `quorate api-resources` lists the kinds",
        ));
    };
    if args.iter().any(|arg| arg.contains('/')) {
        return args.iter().map(|arg| one(arg)).collect();
    }
    let kinds = kinds(first)?;
    if args.len() == 1 {
        return Ok(kinds
            .into_iter()
            .map(|kind| Target { kind, name: None })
            .collect());
    }
    let names = &args[1..];
    Ok(kinds
        .into_iter()
        .flat_map(|kind| {
            names.iter().map(move |name| Target {
                kind,
                name: Some(name),
            })
        })
        .collect())
}

/// What is meant by `vm/web`, nothing else.
fn one(arg: &str) -> Result<Target<'_>, CliError> {
    match arg.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Target {
                kind: find(kind)?,
                name: Some(name),
            })
        }
        Some(_) => Err(CliError::usage(format!(
            "{arg:?} is not KIND/NAME, like `vm/web`"
        ))),
        None => Err(CliError::usage(format!(
            "{arg:?} has no kind, but other arguments have one; write each as KIND/NAME, or once `KIND NAME NAME …`"
        ))),
    }
}

/// Exactly one object, as `edit` and `patch` take it.
pub(crate) fn single(args: &[String]) -> Result<Target<'_>, CliError> {
    match targets(args)?.as_slice() {
        [target] if target.name.is_some() => Ok(*target),
        _ => Err(CliError::usage(format!(
            "{:?} does not name one object; write `vm/web` or `vm web`",
            args.join(" ")
        ))),
    }
}

/// The kinds in a comma list; `all` and categories stand for several.
pub(crate) fn kinds(list: &str) -> Result<Vec<&'static KindInfo>, CliError> {
    let mut found: Vec<&'static KindInfo> = Vec::new();
    for word in list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let group: Vec<_> = match word.to_ascii_lowercase().as_str() {
            "all" => quorate_crds::kinds()
                .iter()
                .filter(|kind| !NOT_IN_ALL.contains(&kind.kind))
                .collect(),
            category => quorate_crds::kinds()
                .iter()
                .filter(|kind| kind.categories.contains(&category))
                .collect(),
        };
        let meant = if group.is_empty() {
            vec![find(word)?]
        } else {
            group
        };
        for kind in meant {
            if !found.iter().any(|known| known.kind == kind.kind) {
                found.push(kind);
            }
        }
    }
    if found.is_empty() {
        return Err(CliError::usage(format!(
            "{list:?} names no kind; `quorate api-resources` lists them"
        )));
    }
    Ok(found)
}

/// One kind by any of its names.
pub(crate) fn find(word: &str) -> Result<&'static KindInfo, CliError> {
    quorate_crds::find(word).ok_or_else(|| {
        let names = quorate_crds::kinds().iter().flat_map(|kind| {
            [kind.singular, kind.plural]
                .into_iter()
                .chain(kind.short_names.iter().copied())
        });
        let guess = did_you_mean(&word.to_ascii_lowercase(), names);
        CliError::usage(format!(
            "there is no kind {word:?};{guess} `quorate api-resources` lists the kinds"
        ))
    })
}

/// ` did you mean "x"?` for the nearest of `known`, or nothing when none is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let allowed = (word.chars().count() / 3).max(1);
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count()
        })
        .min()
        .map(|(_, candidate)| format!(" did you mean {candidate:?}?"))
        .unwrap_or_default()
}

// Insertions, removals and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn meant(text: &str) -> String {
        let args = words(text);
        match targets(&args) {
            Ok(targets) => targets
                .iter()
                .map(Target::reference)
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn kinds_go_by_their_plural_singular_and_short_names() {
        assert_eq!(meant("vm"), "virtualmachine/*");
        assert_eq!(meant("VirtualMachines"), "virtualmachine/*");
        assert_eq!(meant("vm,volumes,vm"), "virtualmachine/* volume/*");
        assert_eq!(meant("vm web db"), "virtualmachine/web virtualmachine/db");
        assert_eq!(meant("vm/web vol/data"), "virtualmachine/web volume/data");
    }

    #[test]
    fn all_is_what_people_declare() {
        let all = meant("all");
        assert!(
            all.contains("virtualmachine/*") && all.contains("node/*"),
            "{all}"
        );
        assert!(
            !all.contains("event/*") && !all.contains("nodeplan/*"),
            "{all}"
        );
    }

    #[test]
    fn a_mistyped_kind_gets_a_guess() {
        assert!(meant("virtualmachin").contains("did you mean \"virtualmachine\"?"));
        assert!(meant("zebra").contains("quorate api-resources"));
        assert!(!meant("zebra").contains("did you mean"));
    }

    #[test]
    fn mixed_and_broken_arguments_say_how_to_write_them() {
        assert!(meant("vm/web db").contains("KIND/NAME"));
        assert!(meant("vm/").contains("KIND/NAME"));
        assert!(meant("").contains("name a kind"));
        assert!(
            single(&words("vm"))
                .expect_err("no name")
                .to_string()
                .contains("does not name one object")
        );
    }
}
