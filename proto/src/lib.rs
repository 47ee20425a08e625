//! The wire contract, generated from `offerd/v1/*.proto`.
//!
//! Messages, clients and servers of every service are in [`v1`]. The crate depends on nothing of
//! ours and on no transport, so that a client can use it without bringing the server along.

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
    fn enums_have_a_zero_that_means_not_told() {
        for list in files().iter().flat_map(|f| &f.enum_type) {
            let first = &list.value[0];
            assert!(first.name().ends_with("_UNSPECIFIED"), "{}", list.name());
            assert_eq!(first.number(), 0, "{}", list.name());
        }
    }
}
