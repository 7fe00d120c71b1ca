//! Every environment variable lakebed reads, in one place; the AWS SDK and the Docker client read theirs by their own rules.

use std::ffi::OsString;
use std::path::PathBuf;

use lakebed_contract::Secret;
use lakebed_harness::backend::AccessKey;

/// What the environment says.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// `LAKEBED_PG_BIN`: folder with `postgres` and `initdb`.
    pub(crate) postgres_bin: Option<PathBuf>,
    /// `PATH`.
    pub(crate) search_path: Option<OsString>,
    /// `LAKEBED_MASK_KEY`: 64 hexadecimal digits, or several keys as `<version>:<digits>` or `<version>:kms:<id>:<base64>`, separated
    /// by commas.
    pub(crate) mask_key_hex: Option<MaskKeyText>,
    /// `LAKEBED_MASK_KEY_FILE`: a file with the same, one key a line, instead of the one in the configuration folder.
    pub(crate) mask_key_file: Option<PathBuf>,
    /// `LAKEBED_MASK_KEY_KMS`: id, ARN or alias of the KMS key that encrypts a mask key that is made; the mask key in use must be
    /// encrypted then.
    pub(crate) mask_key_kms: Option<String>,
    /// `DATABASE_URL`: the source database of `--backend external`. (The `AWS_*` variables are read by the AWS SDK's own
    /// rules; see `external`.)
    pub(crate) database_url: Option<Secret<String>>,
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, for `lakebed up --auth enforce`: whose requests are answered; and for
    /// stores that run already (`--endpoint`, the screen): with which key to ask.
    pub(crate) access_key: Option<AccessKey>,
    /// `LAKEBED_POSTGRES_IMAGE`: image of the Docker backend's Postgres.
    pub(crate) postgres_image: Option<String>,
    /// `LAKEBED_LOCALSTACK_IMAGE`: image of its DynamoDB and Kinesis.
    pub(crate) localstack_image: Option<String>,
    /// `LAKEBED_MINIO_IMAGE`: image of its S3.
    pub(crate) minio_image: Option<String>,
    /// `LAKEBED_STATE_DIR`: default of `--state-dir`.
    pub(crate) state_dir: PathBuf,
    /// `XDG_CONFIG_HOME`, else `HOME/.config`.
    pub(crate) config_home: Option<PathBuf>,
    /// `LAKEBED_LOG`: filter of the log on stderr, e.g. `lakebed_flow=debug`.
    pub(crate) log: Option<String>,
    /// `NO_COLOR` is set to anything: no colours.
    pub(crate) no_color: bool,
    /// The locale (`LC_ALL`, else `LC_CTYPE`, else `LANG`) is UTF-8: signs beyond ASCII may be shown.
    pub(crate) is_utf8: bool,
}

/// Keeps the key out of `Debug`.
#[derive(Clone)]
pub(crate) struct MaskKeyText(pub(crate) String);

impl std::fmt::Debug for MaskKeyText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Environment {
    pub(crate) fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            postgres_bin: path("LAKEBED_PG_BIN").map(PathBuf::from),
            search_path: path("PATH"),
            mask_key_hex: text("LAKEBED_MASK_KEY").map(MaskKeyText),
            mask_key_file: path("LAKEBED_MASK_KEY_FILE").map(PathBuf::from),
            mask_key_kms: text("LAKEBED_MASK_KEY_KMS"),
            database_url: text("DATABASE_URL").map(Secret::new),
            access_key: text("AWS_ACCESS_KEY_ID")
                .zip(text("AWS_SECRET_ACCESS_KEY"))
                .map(|(id, secret)| AccessKey { id, secret: Secret::new(secret) }),
            postgres_image: text("LAKEBED_POSTGRES_IMAGE"),
            localstack_image: text("LAKEBED_LOCALSTACK_IMAGE"),
            minio_image: text("LAKEBED_MINIO_IMAGE"),
            state_dir: path("LAKEBED_STATE_DIR").map_or_else(|| PathBuf::from("lakebed-state"), PathBuf::from),
            config_home: path("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| path("HOME").map(|home| PathBuf::from(home).join(".config"))),
            log: text("LAKEBED_LOG"),
            no_color: text("NO_COLOR").is_some(),
            is_utf8: ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(text).is_some_and(|locale| {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            }),
        }
    }
}
