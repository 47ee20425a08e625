//! The wire contract, generated from `offerd/v1/*.proto`.
//!
//! Messages, clients and servers of every service are in [`v1`]. The crate depends on nothing of
//! ours and on no transport, so that a client can use it without bringing the server along.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// An instant, as messages carry it.
pub use prost_types::Timestamp;

/// Version 1 of the contract. Fields are only ever added; numbers and names are never used again.
#[expect(
    clippy::allow_attributes,
    reason = "the generator writes `allow`, and it cannot know which of them will be needed"
)]
pub mod v1 {
    tonic::include_proto!("offerd.v1");
}

/// Every `.proto` file with its comments, encoded as a `FileDescriptorSet`: what gRPC reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/offerd.bin"));

/// What the comment of each field of a message says, by the field's name; empty for an unknown message.
///
/// Descriptions of the same fields elsewhere (OpenAPI) are taken from here, so that they are written once.
#[must_use]
pub fn field_comments(message: &str) -> BTreeMap<String, String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("encoded by the build script");
    let files = set.file.iter().filter(|file| file.package() == "offerd.v1");
    files.flat_map(|file| comments_in(file, message)).collect()
}

/// The comments of a message's fields, if `file` declares it.
fn comments_in(file: &FileDescriptorProto, message: &str) -> Vec<(String, String)> {
    /// Numbers of `message_type` in a file and of `field` in a message, as paths spell them.
    const PATH: (i32, i32) = (4, 2);
    let Some((i, declared)) = (0..)
        .zip(&file.message_type)
        .find(|(_, m)| m.name() == message)
    else {
        return Vec::new();
    };
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter_map(|location| match *location.path.as_slice() {
            [top, at, inner, j] if (top, at, inner) == (PATH.0, i, PATH.1) => {
                let field = declared.field.get(usize::try_from(j).ok()?)?;
                let words = location.leading_comments().split_whitespace();
                let comment = words.collect::<Vec<_>>().join(" ");
                Some((field.name().to_owned(), comment))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message;
    use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

    fn files() -> Vec<FileDescriptorProto> {
        let set = FileDescriptorSet::decode(super::FILE_DESCRIPTOR_SET).expect("made by build.rs");
        let ours = |file: &FileDescriptorProto| file.package() == "offerd.v1";
        set.file.into_iter().filter(ours).collect()
    }

    /// Paths of everything a reader may ask about, as `SourceCodeInfo` spells them.
    fn paths(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
        let mut paths = Vec::new();
        let mut add = |path: &[i32], name: String| paths.push((path.to_vec(), name));
        for (i, message) in (0..).zip(&file.message_type) {
            let own = |field: i32, kind: i32| [4, i, kind, field];
            add(&[4, i], message.name().into());
            for (j, field) in (0..).zip(&message.field) {
                add(&own(j, 2), format!("{}.{}", message.name(), field.name()));
            }
            let entries = |m: &DescriptorProto| m.options.as_ref().is_some_and(|o| o.map_entry());
            assert!(message.nested_type.iter().all(entries), "only maps nest");
        }
        for (i, list) in (0..).zip(&file.enum_type) {
            add(&[5, i], list.name().into());
            for (j, value) in (0..).zip(&list.value) {
                add(&[5, i, 2, j], value.name().into());
            }
        }
        for (i, service) in (0..).zip(&file.service) {
            add(&[6, i], service.name().into());
            for (j, method) in (0..).zip(&service.method) {
                add(&[6, i, 2, j], method.name().into());
            }
        }
        paths
    }

    #[test]
    fn everything_has_a_sentence() {
        let files = files();
        assert_eq!(files.len(), 5, "reflection serves every file");
        for file in files {
            let info = file.source_code_info.clone().expect("comments are kept");
            let told: HashSet<&[i32]> = info
                .location
                .iter()
                .filter(|l| l.leading_comments().trim_end().ends_with('.'))
                .map(|l| l.path.as_slice())
                .collect();
            for (path, name) in paths(&file) {
                assert!(told.contains(path.as_slice()), "{name} says nothing");
            }
        }
    }

    #[test]
    fn comments_are_found_by_field() {
        let comments = super::field_comments("Money");
        let currency = comments.get("currency").map(String::as_str);
        assert_eq!(currency, Some("An ISO 4217 code such as `USD`; required."));
        assert_eq!(super::field_comments("DecideRequest").len(), 12);
        assert!(super::field_comments("Nothing").is_empty());
    }

    #[test]
    fn enums_have_a_zero_that_means_not_told() {
        for list in files().iter().flat_map(|f| &f.enum_type) {
            let first = &list.value[0];
            assert!(first.name().ends_with("_UNSPECIFIED"), "{}", list.name());
            assert_eq!(first.number(), 0, "{}", list.name());
        }
    }
}
