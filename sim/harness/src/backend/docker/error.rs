//! What can go wrong with containers, told apart by what the user can do about it.

use std::error::Error;

use testcontainers_modules::testcontainers::TestcontainersError;
use testcontainers_modules::testcontainers::core::error::ClientError;

/// An error of the Docker backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    /// No engine answers.
    #[error("failed to reach a Docker engine")]
    Engine {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An image is not here and cannot be had.
    #[error("failed to pull image `{image}`")]
    Image {
        /// Its name.
        image: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A container was not created, or not started.
    #[error("failed to start a container of image `{image}`")]
    Container {
        /// Its image.
        image: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A container ended before it answered.
    #[error("failed to wait for a container of image `{image}`: it ended{}; its last words: {last_words}", code(*exit_code))]
    Ended {
        /// Its image.
        image: String,
        /// Exit code, where the engine knows it.
        exit_code: Option<i64>,
        /// End of its log.
        last_words: String,
    },
    /// A container runs and does not answer.
    #[error(
        "failed to wait for a container of image `{image}`: no answer after {waited_s} s; its last words: {last_words}"
    )]
    NotReady {
        /// Its image.
        image: String,
        /// How long, in seconds.
        waited_s: u64,
        /// End of its log.
        last_words: String,
        /// The last attempt's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A container could not be removed.
    #[error("failed to remove container `{name}`")]
    Remove {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

fn code(exit_code: Option<i64>) -> String {
    exit_code.map_or_else(String::new, |code| format!(" with code {code}"))
}

impl DockerError {
    /// Sorts an error of starting a container of `image`.
    pub(super) fn of_start(image: &str, error: TestcontainersError) -> Self {
        let image = image.to_owned();
        match error {
            TestcontainersError::Client(ClientError::PullImage { err, .. }) => {
                Self::Image { image, source: Box::new(err) }
            }
            TestcontainersError::Client(error @ (ClientError::Init(_) | ClientError::InvalidDockerHost(_))) => {
                Self::Engine { source: Box::new(error) }
            }
            error => Self::Container { image, source: Box::new(error) },
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Engine { .. } => {
                "start Docker, or point DOCKER_HOST at an engine on this machine; --backend embedded needs none"
            }
            Self::Image { .. } => {
                "check the network and the name; LAKEBED_POSTGRES_IMAGE, LAKEBED_LOCALSTACK_IMAGE and LAKEBED_MINIO_IMAGE \
                 name others; .ci/docker-stand-ins builds local ones"
            }
            Self::Container { .. } | Self::Ended { .. } | Self::NotReady { .. } => {
                "is the image what its name says, and has the engine memory and disk left? `docker run` on it shows more"
            }
            Self::Remove { .. } => "remove it by hand: docker rm --force --volumes NAME",
        }
    }
}
