//! Names of container images: a name with a tag or a digest, never one without.
//!
//! The defaults are pinned because the moving ones are dead or want an account: LocalStack after 4.14.0 needs a token, and
//! MinIO's images are gone from Docker Hub and stay only, frozen, on Quay.

use crate::error::HarnessError;

/// An image and which of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// With registry, without tag; `NAME@sha256` for a digest.
    pub(super) name: String,
    /// Tag, or the digest's digits.
    pub(super) tag: String,
}

impl ImageName {
    /// Reads `NAME:TAG` or `NAME@sha256:DIGEST`.
    pub fn parse(text: &str) -> Result<Self, HarnessError> {
        let refuse = || HarnessError::Input {
            message: format!("failed to read image name `{text}`: expected NAME:TAG or NAME@sha256:DIGEST"),
        };
        // A colon before the last slash belongs to a registry's port.
        let (name, tag) = text.trim().rsplit_once(':').ok_or_else(refuse)?;
        if name.is_empty() || tag.is_empty() || tag.contains('/') || text.contains(char::is_whitespace) {
            return Err(refuse());
        }
        Ok(Self { name: name.to_owned(), tag: tag.to_owned() })
    }
}

impl std::fmt::Display for ImageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// The three images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerImages {
    /// Postgres, 15 or newer.
    pub postgres: ImageName,
    /// LocalStack: DynamoDB, DynamoDB Streams, Kinesis.
    pub localstack: ImageName,
    /// MinIO: S3.
    pub minio: ImageName,
}

/// Default of [`DockerImages::postgres`].
pub const POSTGRES_IMAGE: &str = "postgres:17.12";
/// Default of [`DockerImages::localstack`]: the last that starts without a token.
pub const LOCALSTACK_IMAGE: &str = "localstack/localstack:4.14.0";
/// Default of [`DockerImages::minio`]: the last one published.
pub const MINIO_IMAGE: &str = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z";

impl DockerImages {
    /// The given names; defaults for the others.
    pub fn named(postgres: Option<&str>, localstack: Option<&str>, minio: Option<&str>) -> Result<Self, HarnessError> {
        Ok(Self {
            postgres: ImageName::parse(postgres.unwrap_or(POSTGRES_IMAGE))?,
            localstack: ImageName::parse(localstack.unwrap_or(LOCALSTACK_IMAGE))?,
            minio: ImageName::parse(minio.unwrap_or(MINIO_IMAGE))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_tag_or_a_digest() {
        for (text, name, tag) in [
            ("postgres:17.12", "postgres", "17.12"),
            ("quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z", "quay.io/minio/minio", "RELEASE.2025-09-07T16-13-09Z"),
            ("localhost:5000/postgres:17", "localhost:5000/postgres", "17"),
            ("postgres@sha256:0a1b", "postgres@sha256", "0a1b"),
        ] {
            let image = ImageName::parse(text).expect(text);
            assert_eq!((image.name.as_str(), image.tag.as_str()), (name, tag));
            assert_eq!(image.to_string(), text);
        }
        for bad in ["postgres", "localhost:5000/postgres", ":17", "postgres:", "post gres:17", ""] {
            let refused = ImageName::parse(bad).expect_err(bad).to_string();
            assert!(refused.contains("NAME:TAG"), "{refused}");
        }
    }

    #[test]
    fn the_defaults_are_pinned() {
        let images = DockerImages::named(None, Some("localstack/localstack:4.12"), None).expect("valid");
        assert_eq!(images.postgres.to_string(), POSTGRES_IMAGE);
        assert_eq!(images.localstack.tag, "4.12");
        assert!(images.minio.name.starts_with("quay.io/"), "the name on Docker Hub is dead");
    }

    #[test]
    fn whatever_names_the_images_names_the_same() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for file in [".ci/docker-stand-ins", ".env.example", "docker-compose.yml"] {
            let text = std::fs::read_to_string(root.join(file)).expect(file);
            for image in [POSTGRES_IMAGE, LOCALSTACK_IMAGE, MINIO_IMAGE] {
                assert!(text.contains(image), "{file} does not name {image}");
            }
        }
    }
}
