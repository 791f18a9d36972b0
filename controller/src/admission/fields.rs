//! Finding values in an object by a path with wildcards.

use serde_json::Value;

/// A value and where it was found, as `spec.disks[1].volume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
}

impl Field<'_> {
    /// The same field, seen from above `prefix`.
    pub(super) fn below(self, prefix: &str) -> Self {
        if prefix.is_empty() {
            return self;
        }
        Self {
            path: format!("{prefix}.{}", self.path),
            ..self
        }
    }
}

/// The object itself.
pub(super) fn whole(object: &Value) -> Field<'_> {
    Field {
        path: String::new(),
        value: object,
    }
}

/// Every value at `pattern`. In a pattern `[]` stands for every item of a list, as in
/// `spec.fencing.levels[].devices[].plug`.
pub(super) fn find<'a>(object: &'a Value, pattern: &str) -> Vec<Field<'a>> {
    let mut found = vec![whole(object)];
    for step in pattern.split('.') {
        let (name, lists) = match step.find('[') {
            Some(at) => (&step[..at], (step.len() - at) / 2),
            None => (step, 0),
        };
        found = found
            .into_iter()
            .flat_map(|field| descend(field, name))
            .collect();
        for _ in 0..lists {
            found = found.into_iter().flat_map(items).collect();
        }
    }
    found
}

fn descend<'a>(field: Field<'a>, name: &str) -> Vec<Field<'a>> {
    let Some(map) = field.value.as_object() else {
        return Vec::new();
    };
    let Some(value) = map.get(name) else {
        return Vec::new();
    };
    let path = if field.path.is_empty() {
        name.to_owned()
    } else {
        format!("{}.{name}", field.path)
    };
    vec![Field { path, value }]
}

fn items(field: Field<'_>) -> Vec<Field<'_>> {
    field
        .value
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, value)| Field {
            path: format!("{}[{at}]", field.path),
            value,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::find;

    #[test]
    fn a_pattern_reaches_into_lists() {
        let object = json!({"spec": {
            "disks": [{"volume": "a"}, {"size": "1Gi"}, {"volume": "b"}],
            "hosts": [{"nics": ["x", "y"]}],
        }});
        let paths = |pattern| -> Vec<String> {
            find(&object, pattern).into_iter().map(|f| f.path).collect()
        };
        assert_eq!(
            paths("spec.disks[].volume"),
            ["spec.disks[0].volume", "spec.disks[2].volume"]
        );
        assert_eq!(
            paths("spec.hosts[].nics[]"),
            ["spec.hosts[0].nics[0]", "spec.hosts[0].nics[1]"]
        );
        assert!(paths("spec.nowhere[].x").is_empty());
    }
}
