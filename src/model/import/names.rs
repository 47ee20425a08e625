//! Which input of the manifest each feature of a model file is.

use crate::model::{ArtifactError, Feature};

/// The manifest's input for each of the file's `count` features: by name where the file has names the
/// trainer did not make up, else by position.
pub(super) fn inputs(
    names: Option<&[String]>,
    count: usize,
    features: &[Feature],
) -> Result<Vec<u32>, ArtifactError> {
    if count != features.len() {
        let declared = features.len();
        let problem = format!("the model has {count} features, the manifest declares {declared}");
        return Err(ArtifactError::new("feature_names", problem));
    }
    let Some(names) = names.filter(|names| !made_up(names)) else {
        return Ok((0..).take(count).collect());
    };
    if names.len() != count {
        let problem = format!("has {} entries, the model {count} features", names.len());
        return Err(ArtifactError::new("feature_names", problem));
    }
    let mut inputs = Vec::with_capacity(count);
    for (i, name) in names.iter().enumerate() {
        let input = (0..).zip(features).find(|(_, f)| same(&f.name, name));
        let complain = |problem| ArtifactError::new(format!("feature_names[{i}]"), problem);
        match input {
            None => {
                let here = &features[i].name;
                let problem = format!(
                    "is `{name}`, which the manifest does not declare; it has `{here}` in its place"
                );
                return Err(complain(problem));
            }
            Some((input, _)) if inputs.contains(&input) => {
                return Err(complain(format!("is `{name}`, which is there twice")));
            }
            Some((input, _)) => inputs.push(input),
        }
    }
    Ok(inputs)
}

/// LightGBM separates names by spaces in its files and so writes `_` for those within a name.
fn same(declared: &str, written: &str) -> bool {
    let spaced = |c: char| if c.is_whitespace() { '_' } else { c };
    declared == written || declared.chars().map(spaced).eq(written.chars())
}

/// What LightGBM calls the columns of a table without names.
fn made_up(names: &[String]) -> bool {
    (names.iter().enumerate())
        .all(|(i, name)| (name.strip_prefix("Column_")).is_some_and(|n| n.parse() == Ok(i)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Missing, Source};

    #[track_caller]
    fn check(names: Option<&[&str]>, declared: &[&str], expected: Result<&[u32], &str>) {
        let features: Vec<Feature> = (declared.iter())
            .map(|name| Feature {
                name: (*name).into(),
                kind: Kind::Number,
                source: Source::Customer,
                missing: Missing::Nan,
            })
            .collect();
        let names: Option<Vec<String>> = names.map(|n| n.iter().map(|n| (*n).into()).collect());
        let count = names.as_ref().map_or(2, Vec::len);
        match (inputs(names.as_deref(), count, &features), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => {
                assert!(found.to_string().contains(expected), "{found}");
            }
            (found, _) => panic!("{names:?} of {declared:?}: {found:?}"),
        }
    }

    #[test]
    fn names_decide_the_order() {
        check(None, &["a", "b"], Ok(&[0, 1]));
        check(Some(&["a", "b"]), &["a", "b"], Ok(&[0, 1]));
        check(Some(&["b", "a"]), &["a", "b"], Ok(&[1, 0]));
        check(Some(&["Column_0", "Column_1"]), &["a", "b"], Ok(&[0, 1]));
        check(Some(&["a_b", "c"]), &["c", "a b"], Ok(&[1, 0]));
        check(Some(&["a", "x"]), &["a", "b"], Err("`x`"));
        check(Some(&["a", "x"]), &["a", "b"], Err("`b`"));
        check(Some(&["a", "a"]), &["a", "b"], Err("twice"));
        check(
            Some(&["a"]),
            &["a", "b"],
            Err("1 features, the manifest declares 2"),
        );
    }
}
