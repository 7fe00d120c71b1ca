//! KMS through the Rust SDK: what a ciphertext opens with, which key a name means, and what outlives the process.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, EncryptionAlgorithmSpec, KeySpec, KeyState, Tag};
use lakebed_cloud::{AccessKey, Auth};
use lakebed_contract::{Clock, Secret, Timestamp};
use serde_json::Value;

use crate::wire::{body, send_json};
use crate::{Running, code, config, refusal};

const START: i64 = 1_700_000_000;

struct Kms {
    running: Running,
    client: Client,
}

impl Kms {
    async fn start(state_dir: &Path) -> Self {
        let running = Running::start(state_dir).await;
        let endpoints = running.cloud.endpoints();
        let client = Client::new(&endpoints.sdk_config(&endpoints.kms_url));
        Self { running, client }
    }

    /// Id and ARN of a new key.
    async fn key(&self) -> (String, String) {
        let made = self.client.create_key().send().await.expect("made").key_metadata.expect("metadata");
        (made.key_id, made.arn.expect("an ARN"))
    }

    async fn sealed(&self, key: &str, plaintext: &[u8]) -> Blob {
        let request = self.client.encrypt().key_id(key).plaintext(Blob::new(plaintext));
        let answer = request.encryption_context("lake", "beer").send().await.expect("encrypted");
        answer.ciphertext_blob.expect("a ciphertext")
    }

    /// What a ciphertext holds, or why it does not open.
    async fn opened(&self, blob: &Blob, key: Option<&str>, lake: &str) -> Result<Vec<u8>, String> {
        let request = self.client.decrypt().ciphertext_blob(blob.clone()).set_key_id(key.map(str::to_owned));
        match request.encryption_context("lake", lake).send().await {
            Ok(answer) => Ok(answer.plaintext.expect("a plaintext").into_inner()),
            Err(error) => Err(code::<(), _, _>(Err(error))),
        }
    }
}

#[tokio::test]
async fn a_ciphertext_opens_with_its_key_under_every_name_and_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let kms = Kms::start(dir.path()).await;
    let ((id, arn), (other, _)) = (kms.key().await, kms.key().await);
    kms.client.create_alias().alias_name("alias/mask").target_key_id(&arn).send().await.expect("named");
    let alias_arn = "arn:aws:kms:us-east-1:000000000000:alias/mask";
    let blob = kms.sealed("alias/mask", b"secret").await;
    kms.running.stop().await;

    let kms = Kms::start(dir.path()).await;
    for name in [None, Some(id.as_str()), Some(arn.as_str()), Some("alias/mask"), Some(alias_arn)] {
        assert_eq!(kms.opened(&blob, name, "beer").await.expect("opens"), b"secret", "{name:?}");
    }
    let refused =
        async |blob: &Blob, name: Option<&str>, lake: &str| kms.opened(blob, name, lake).await.expect_err("refused");
    assert_eq!(refused(&blob, None, "wine").await, "InvalidCiphertextException");
    assert_eq!(refused(&blob, Some(&other), "beer").await, "IncorrectKeyException");
    assert_eq!(refused(&blob, Some("alias/none"), "beer").await, "NotFoundException");
    let without_context = kms.client.decrypt().ciphertext_blob(blob.clone()).send().await;
    assert_eq!(code(without_context), "InvalidCiphertextException");
    // Of the form, the key's id, the nonce, the ciphertext and the tag, one bit each.
    for (byte, expect) in [
        (0, "InvalidCiphertextException"),
        (5, "AccessDeniedException"),
        (20, "InvalidCiphertextException"),
        (30, "InvalidCiphertextException"),
        (blob.as_ref().len() - 1, "InvalidCiphertextException"),
    ] {
        let mut changed = blob.as_ref().to_vec();
        changed[byte] ^= 1;
        assert_eq!(refused(&Blob::new(changed), None, "beer").await, expect, "byte {byte}");
    }
    kms.running.stop().await;
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("kms"), mode("kms/keys.json")), (0o700, 0o600));
}

#[tokio::test]
async fn a_disabled_key_does_nothing_until_it_is_enabled() {
    let dir = tempfile::tempdir().expect("a directory");
    let kms = Kms::start(dir.path()).await;
    let (id, arn) = kms.key().await;
    let blob = kms.sealed(&id, b"secret").await;
    kms.client.disable_key().key_id(&arn).send().await.expect("disabled");
    assert_eq!(kms.opened(&blob, None, "beer").await, Err("DisabledException".to_owned()));
    let made = kms.client.generate_data_key().key_id(&id).key_spec(DataKeySpec::Aes256).send().await;
    assert_eq!(refusal(made), ("DisabledException".to_owned(), format!("{arn} is disabled.")));
    let described = kms.client.describe_key().key_id(&id).send().await.expect("described").key_metadata;
    let described = described.expect("metadata");
    assert_eq!((described.enabled, described.key_state), (false, Some(KeyState::Disabled)));
    assert_eq!(described.creation_date.expect("a date").secs(), START);
    kms.client.enable_key().key_id(&id).send().await.expect("enabled");
    assert_eq!(kms.opened(&blob, None, "beer").await.expect("opens"), b"secret");
    kms.running.stop().await;
}

#[tokio::test]
async fn data_keys_are_as_long_as_asked_for_and_never_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let kms = Kms::start(dir.path()).await;
    let (id, arn) = kms.key().await;
    let made =
        kms.client.generate_data_key().key_id(&id).key_spec(DataKeySpec::Aes128).encryption_context("lake", "beer");
    let made = made.send().await.expect("made");
    assert_eq!(made.key_id.as_deref(), Some(arn.as_str()));
    let plain = made.plaintext.expect("a plaintext").into_inner();
    assert_eq!(plain.len(), 16);
    assert_eq!(kms.opened(&made.ciphertext_blob.expect("a ciphertext"), None, "beer").await, Ok(plain));

    let without = async || {
        let request = kms.client.generate_data_key_without_plaintext().key_id(&id).number_of_bytes(33);
        let made = request.encryption_context("lake", "beer").send().await.expect("made");
        kms.opened(&made.ciphertext_blob.expect("a ciphertext"), None, "beer").await.expect("opens")
    };
    let (one, two) = (without().await, without().await);
    assert!(one.len() == 33 && one != two);
    let random = kms.client.generate_random().number_of_bytes(7).send().await.expect("random").plaintext;
    assert_eq!(random.expect("bytes").into_inner().len(), 7);

    let neither = kms.client.generate_data_key().key_id(&id).send().await;
    assert_eq!(refusal(neither).1, "Please specify either number of bytes or key spec.");
    let encrypt = |bytes: usize| kms.client.encrypt().key_id(&id).plaintext(Blob::new(vec![7; bytes]));
    assert_eq!(code(encrypt(4096).send().await), "accepted");
    let (code_of_long, told) = refusal(encrypt(4097).send().await);
    assert_eq!(code_of_long, "ValidationException");
    assert!(told.contains("'plaintext'") && told.contains("less than or equal to 4096"), "{told}");
    assert_eq!(code(encrypt(1).dry_run(true).send().await), "DryRunOperationException");
    let rsa = EncryptionAlgorithmSpec::RsaesOaepSha256;
    assert_eq!(code(encrypt(1).encryption_algorithm(rsa).send().await), "InvalidKeyUsageException");
    assert_eq!(code(encrypt(1).grant_tokens("t").send().await), "InvalidGrantTokenException");
    kms.running.stop().await;
}

#[tokio::test]
async fn keys_and_aliases_are_listed_in_pages_and_named_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let kms = Kms::start(dir.path()).await;
    let ((one, _), (two, _)) = (kms.key().await, kms.key().await);
    let alias = |name: &str, key: &str| kms.client.create_alias().alias_name(name).target_key_id(key);
    for (name, key) in [("alias/b", &one), ("alias/a", &two), ("alias/c", &two)] {
        alias(name, key).send().await.expect("named");
    }
    let first = kms.client.list_aliases().limit(2).send().await.expect("listed");
    let names = |aliases: Option<Vec<aws_sdk_kms::types::AliasListEntry>>| -> Vec<String> {
        aliases.unwrap_or_default().into_iter().filter_map(|alias| alias.alias_name).collect()
    };
    assert!(first.truncated);
    assert_eq!(names(first.aliases), ["alias/a", "alias/b"]);
    let rest = kms.client.list_aliases().limit(2).set_marker(first.next_marker).send().await.expect("listed");
    assert!(!rest.truncated && rest.next_marker.is_none());
    assert_eq!(names(rest.aliases), ["alias/c"]);
    let of_one = kms.client.list_aliases().key_id(&one).send().await.expect("listed");
    assert_eq!(names(of_one.aliases), ["alias/b"]);
    let mut keys: Vec<String> = Vec::new();
    let mut pages = kms.client.list_keys().into_paginator().page_size(1).items().send();
    while let Some(key) = pages.next().await {
        keys.extend(key.expect("listed").key_id);
    }
    keys.sort();
    let mut made = vec![one.clone(), two];
    made.sort();
    assert_eq!(keys, made);
    assert_eq!(code(kms.client.list_keys().marker("!").send().await), "InvalidMarkerException");

    let taken = refusal(alias("alias/b", &one).send().await);
    assert_eq!(taken.0, "AlreadyExistsException");
    assert!(taken.1.contains("arn:aws:kms:us-east-1:000000000000:alias/b"), "{}", taken.1);
    assert_eq!(refusal(alias("b", &one).send().await).1, "Invalid identifier");
    assert_eq!(code(alias("alias/aws/s3", &one).send().await), "NotAuthorizedException");
    assert_eq!(refusal(alias("alias/d", "alias/b").send().await).1, "Aliases must refer to keys. Not aliases");
    kms.client.delete_alias().alias_name("alias/b").send().await.expect("deleted");
    let gone = refusal(kms.client.describe_key().key_id("alias/b").send().await);
    let told = "Alias arn:aws:kms:us-east-1:000000000000:alias/b is not found.".to_owned();
    assert_eq!(gone, ("NotFoundException".to_owned(), told));
    let nobody = "01234567-89ab-cdef-0123-456789abcdef";
    let unknown = refusal(kms.client.describe_key().key_id(nobody).send().await);
    let told = format!("Key 'arn:aws:kms:us-east-1:000000000000:key/{nobody}' does not exist");
    assert_eq!(unknown, ("NotFoundException".to_owned(), told));
    assert_eq!(refusal(kms.client.describe_key().key_id("mask").send().await).1, "Invalid keyId 'mask'");
    kms.running.stop().await;
}

#[tokio::test]
async fn what_is_not_done_is_refused_and_no_error_quotes_a_plaintext() {
    let dir = tempfile::tempdir().expect("a directory");
    let kms = Kms::start(dir.path()).await;
    let create = || kms.client.create_key();
    let tag = Tag::builder().tag_key("a").tag_value("b").build().expect("a tag");
    for request in
        [create().key_spec(KeySpec::Rsa2048), create().policy("{}"), create().tags(tag), create().multi_region(true)]
    {
        assert_eq!(code(request.send().await), "UnsupportedOperationException");
    }
    let keys = kms.client.list_keys().send().await.expect("listed").keys;
    assert!(keys.unwrap_or_default().is_empty(), "a refused key is not made");
    let sign = send_json(kms.running.cloud.port(), "TrentService.Sign", "{}").await;
    assert!(sign.contains("UnknownOperationException") && sign.contains("`Sign` is not implemented"), "{sign}");
    for request in [
        r#"{"KeyId":"k","Plaintext":"hush"#,
        r#"{"KeyId":"k","Plaintext":["hush"]}"#,
        r#"{"KeyId":"k","Plaintext":"hush","EncryptionContext":{"a":null}}"#,
        r#"{"KeyId":"k","Plaintext":"hush"}"#,
        r#"{"Plaintext":"hush"}"#,
        "null",
    ] {
        let answer = send_json(kms.running.cloud.port(), "TrentService.Encrypt", request).await;
        let told: Value = serde_json::from_str(body(&answer)).expect("JSON");
        assert!(answer.starts_with("HTTP/1.1 400") && told["__type"].is_string(), "{answer}");
        assert!(!answer.contains("hush"), "{answer}");
    }
    kms.running.stop().await;
}

#[tokio::test]
async fn enforced_signatures_are_for_kms_too() {
    let dir = tempfile::tempdir().expect("a directory");
    // The SDK signs by the wall clock.
    let mut enforcing = config(dir.path(), 0, Clock::wall(), None);
    let key = AccessKey { id: "k".to_owned(), secret: Secret::new("s".to_owned()) };
    enforcing.auth = Auth::Enforce(vec![key]);
    let running = Running::start_as(enforcing).await;
    let own = running.cloud.endpoints();
    let other = own.clone().signing_with("k", &Secret::new("t".to_owned()));
    let list = async |endpoints: &lakebed_contract::Endpoints| {
        code(Client::new(&endpoints.sdk_config(&endpoints.kms_url)).list_keys().send().await)
    };
    assert_eq!(list(&own).await, "accepted");
    assert_eq!(list(&other).await, "InvalidSignatureException");
    running.stop().await;
}

#[tokio::test]
async fn damaged_keys_are_refused_at_the_start_without_being_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let kms = Kms::start(dir.path()).await;
    kms.key().await;
    kms.running.stop().await;
    let path = dir.path().join("kms/keys.json");
    let text = std::fs::read_to_string(&path).expect("read");
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    let keys = whole["keys"].as_object().expect("keys");
    let material = keys.values().next().and_then(|key| key["material"].as_str()).expect("material");
    std::fs::write(&path, text.replace(material, &material[1..])).expect("written");
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let refused = lakebed_cloud::Cloud::start(config(dir.path(), 0, clock, None)).await.expect_err("refused");
    let told = format!("{refused} {refused:?}");
    assert!(told.contains("keys.json") && !told.contains(&material[1..]), "{told}");
}
