//! Mask keys from KMS, as a user has them: a KMS key in one lakebed, `lakebed ingest` with it in others.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use aws_sdk_kms::Client;
use aws_sdk_kms::types::DataKeySpec;
use lakebed_contract::{EncryptedKey, Endpoints};
use serde_json::{Value, json};

use crate::command_line::lakebed;
use crate::stores::Stores;

const PROFILES: &str = "profile_id,profile_name,email\n1,ana,ana@example.com\n2,bea,bea@example.com\n";

/// `lakebed ingest` of two profiles into `state_dir`, with mask keys of the KMS at `url`.
fn ingesting(folder: &Path, url: &str, kms_key: &str, state_dir: &str) -> Command {
    fs::write(folder.join("profile.csv"), PROFILES).expect("written");
    let mut command = lakebed(folder, &["ingest", "profile.csv", "--table", "profile", "--state-dir", state_dir]);
    command
        .envs([("AWS_ENDPOINT_URL_KMS", url), ("AWS_ACCESS_KEY_ID", "lakebed"), ("AWS_SECRET_ACCESS_KEY", "secret")])
        .env("LAKEBED_MASK_KEY_KMS", kms_key)
        .env_remove("XDG_CONFIG_HOME");
    command
}

fn ingest(folder: &Path, url: &str, kms_key: &str, state_dir: &str) -> Output {
    ingesting(folder, url, kms_key, state_dir).output().expect("starts")
}

fn tokens(folder: &Path, state_dir: &str) -> Value {
    let sql = "SELECT email FROM silver.profile ORDER BY profile_id";
    let output = lakebed(folder, &["query", sql, "--state-dir", state_dir, "--json"]).output().expect("starts");
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn client(url: &str) -> Client {
    let mut endpoints = Endpoints::embedded(0);
    endpoints.kms_url = url.to_owned();
    Client::new(&endpoints.sdk_config(&endpoints.kms_url))
}

/// A new KMS key with the alias `alias/mask`: its ARN.
async fn make_key(client: &Client) -> Option<String> {
    let arn = client.create_key().send().await.ok()?.key_metadata?.arn?;
    client.create_alias().alias_name("alias/mask").target_key_id(&arn).send().await.ok()?;
    Some(arn)
}

/// What happened, in its order; asserted when the stores have ended.
struct Seen {
    arn: Option<String>,
    runs: [Output; 2],
    unknown: Output,
    other_version: Output,
    is_disabled: bool,
    disabled: Output,
}

fn see(folder: &Path, elsewhere: &Path, url: &str) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = client(url);
    let arn = runtime.block_on(make_key(&client));
    let runs = ["one", "two"].map(|state_dir| ingest(folder, url, "alias/mask", state_dir));
    let unknown = ingest(elsewhere, url, "alias/none", "one");
    // The same key, said to be of another version.
    let own = fs::read_to_string(folder.join(".config/lakebed/mask.key")).unwrap_or_default();
    let other = elsewhere.join(".config/lakebed");
    fs::create_dir_all(&other).expect("a folder");
    fs::write(other.join("mask.key"), own.replacen("1:", "2:", 1)).expect("written");
    fs::set_permissions(other.join("mask.key"), fs::Permissions::from_mode(0o600)).expect("permissions");
    let other_version = ingest(elsewhere, url, "alias/mask", "one");
    let disable = async { client.disable_key().key_id(arn.as_deref().unwrap_or_default()).send().await.is_ok() };
    let is_disabled = runtime.block_on(disable);
    let disabled = ingest(folder, url, "alias/mask", "three");
    Seen { arn, runs, unknown, other_version, is_disabled, disabled }
}

#[test]
fn a_key_of_kms_gives_the_same_tokens_in_every_process_and_lies_nowhere_in_clear() {
    let (folder, elsewhere) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    let stores = Stores::start(&[], None);
    let url = stores.export("AWS_ENDPOINT_URL").unwrap_or_default().to_owned();
    let seen = see(folder.path(), elsewhere.path(), &url);
    let said = stores.end();
    // Nobody listens there, and nobody will.
    let nobody = "http://127.0.0.1:1";
    let gone = ingest(folder.path(), nobody, "alias/mask", "four");

    let arn = seen.arn.unwrap_or_else(|| panic!("no KMS key was made at `{url}`: {said}"));
    for run in &seen.runs {
        assert_eq!(run.status.code(), Some(0), "{}", told(run));
    }
    assert!(told(&seen.runs[0]).contains("made a new mask key, encrypted by KMS"), "{}", told(&seen.runs[0]));
    assert!(!told(&seen.runs[1]).contains("made a new mask key"), "{}", told(&seen.runs[1]));
    let one = tokens(folder.path(), "one");
    assert_eq!(one, tokens(folder.path(), "two"));
    assert!(one[0]["email"].as_str().is_some_and(|token| token.starts_with("tok_1_")), "{one}");
    assert_ne!(one, json!([{ "email": one[0]["email"] }, { "email": one[0]["email"] }]));

    let path = folder.path().join(".config/lakebed/mask.key");
    let text = fs::read_to_string(&path).expect("the key file");
    assert!(text.starts_with(&format!("1:kms:{arn}:")) && text.lines().count() == 1, "{text}");
    assert!(!text.as_bytes().windows(64).any(|run| run.iter().all(u8::is_ascii_hexdigit)), "a key in clear");
    assert_eq!(fs::metadata(&path).expect("the key file").permissions().mode() & 0o777, 0o600);

    let refused = |output: &Output, expect: &[&str]| {
        assert_eq!(output.status.code(), Some(1), "{}", told(output));
        for text in expect {
            assert!(told(output).contains(text), "no `{text}` in: {}", told(output));
        }
    };
    refused(&seen.unknown, &["alias/none", "NotFoundException", "hint: does that key exist"]);
    refused(&seen.other_version, &[&arn, "version 2", "InvalidCiphertextException"]);
    assert!(seen.is_disabled, "the key was not disabled");
    refused(&seen.disabled, &[&arn, "DisabledException"]);
    assert_eq!(gone.status.code(), Some(2), "{}", told(&gone));
    assert!(told(&gone).contains(&format!("failed to use KMS at `{nobody}`")), "{}", told(&gone));
    for state_dir in ["three", "four"] {
        assert!(!folder.path().join(state_dir).exists(), "nothing is ingested without a key");
    }
}

/// Adds version 2 to a key file, encrypted by a new KMS key, as README.md says, and disables the KMS key of version 1.
async fn rotate(client: &Client, old_arn: &str, path: &Path) -> Option<()> {
    let arn = client.create_key().send().await.ok()?.key_metadata?.arn?;
    let request = client.generate_data_key_without_plaintext().key_id(arn).key_spec(DataKeySpec::Aes256);
    let request = request.encryption_context("lakebed", "mask-key").encryption_context("version", "2");
    let answer = request.send().await.ok()?;
    let ciphertext = answer.ciphertext_blob?.into_inner();
    let line = EncryptedKey { version: 2, key_id: answer.key_id?, ciphertext }.to_line();
    writeln!(OpenOptions::new().append(true).open(path).ok()?, "{line}").ok()?;
    client.disable_key().key_id(old_arn).send().await.ok().map(drop)
}

#[test]
fn a_named_file_is_made_and_only_its_newest_line_is_decrypted() {
    let folder = tempfile::tempdir().expect("temp dir");
    let path = folder.path().join("kms.key");
    let stores = Stores::start(&[], None);
    let url = stores.export("AWS_ENDPOINT_URL").unwrap_or_default().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = client(&url);
    let run = |state_dir: &str| {
        let mut command = ingesting(folder.path(), &url, "alias/mask", state_dir);
        command.env("LAKEBED_MASK_KEY_FILE", "kms.key").output().expect("starts")
    };
    let arn = runtime.block_on(make_key(&client)).unwrap_or_default();
    let first = run("one");
    let rotated = runtime.block_on(rotate(&client, &arn, &path));
    let second = run("two");
    let said = stores.end();

    assert_eq!(first.status.code(), Some(0), "{}\nThe stores said: {said}", told(&first));
    assert!(rotated.is_some(), "no second line was added: {said}");
    let text = fs::read_to_string(&path).expect("the key file");
    assert!(text.starts_with(&format!("1:kms:{arn}:")) && text.lines().count() == 2, "{text}");
    assert_eq!(fs::metadata(&path).expect("the key file").permissions().mode() & 0o777, 0o600);
    assert!(!folder.path().join(".config/lakebed").exists(), "the named file is the only one");
    assert_eq!(second.status.code(), Some(0), "{}", told(&second));
    let two = tokens(folder.path(), "two");
    assert!(two[0]["email"].as_str().is_some_and(|token| token.starts_with("tok_2_")), "{two}");
}

/// A KMS that fails whatever it is asked, until the tests end: its address.
fn failing_kms() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.and_then(fail).expect("a request, answered");
        }
    });
    url
}

fn fail(stream: TcpStream) -> io::Result<()> {
    let mut request = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while request.read_line(&mut line)? > "\r\n".len() {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    io::copy(&mut request.by_ref().take(length), &mut io::sink())?;
    let body = r#"{"__type":"KMSInternalException","message":"broken on purpose"}"#;
    let head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close";
    write!(request.get_mut(), "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_kms_that_fails_is_not_the_users_mistake_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("temp dir");
    let url = failing_kms();
    let failed = ingest(folder.path(), &url, "alias/mask", "one");
    assert_eq!(failed.status.code(), Some(2), "{}", told(&failed));
    for text in [format!("failed to use KMS at `{url}`").as_str(), "broken on purpose"] {
        assert!(told(&failed).contains(text), "no `{text}` in: {}", told(&failed));
    }
    for path in ["one", ".config/lakebed/mask.key"] {
        assert!(!folder.path().join(path).exists(), "nothing is made without a key");
    }
}
