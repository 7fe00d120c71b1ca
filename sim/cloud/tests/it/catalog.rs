//! The Iceberg REST catalog through iceberg-rust's own client, over the port; raw HTTP where the client would retry or
//! hide.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use iceberg::io::{S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, NestedField, PrimitiveType, Schema, Transform, Type,
    UnboundPartitionSpec,
};
use iceberg::transaction::{ApplyTransactionAction, Transaction};
use iceberg::{Catalog, CatalogBuilder, ErrorKind, NamespaceIdent, TableCreation, TableIdent};
use iceberg_catalog_rest::{REST_CATALOG_PROP_URI, RestCatalog, RestCatalogBuilder};
use iceberg_storage_opendal::OpenDalStorageFactory;
use lakebed_cloud::{CatalogServer, CatalogServerConfig, Cloud, CloudConfig};
use lakebed_contract::layout::LAKE_BUCKET;
use lakebed_contract::{Clock, Endpoints, Seed};
use serde_json::{Value, json};

use crate::wire;

async fn start(state_dir: &Path) -> (Cloud, RestCatalog) {
    let cloud = Cloud::start(CloudConfig::new(state_dir, Clock::wall(), Seed(7))).await.unwrap();
    let catalog = client(&Endpoints::embedded(cloud.port())).await;
    (cloud, catalog)
}

async fn client(endpoints: &Endpoints) -> RestCatalog {
    // Endpoint, region and path style come from the catalog's configuration; only the keys are ours to bring.
    let properties = HashMap::from([
        (REST_CATALOG_PROP_URI.to_owned(), endpoints.catalog_url.clone()),
        (S3_ACCESS_KEY_ID.to_owned(), endpoints.access_key_id.clone()),
        (S3_SECRET_ACCESS_KEY.to_owned(), endpoints.secret_access_key.expose().clone()),
    ]);
    RestCatalogBuilder::default()
        .with_storage_factory(Arc::new(OpenDalStorageFactory::S3 { customized_credential_load: None }))
        .load("lakebed", properties)
        .await
        .unwrap()
}

fn s3(cloud: &Cloud) -> aws_sdk_s3::Client {
    let endpoints = Endpoints::embedded(cloud.port());
    let config = endpoints.sdk_config(&endpoints.s3_url);
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build())
}

/// How many objects of the lake lie in a folder.
async fn objects(cloud: &Cloud, folder: &str) -> usize {
    let listed = s3(cloud).list_objects_v2().bucket(LAKE_BUCKET).prefix(format!("{folder}/")).send().await.unwrap();
    listed.contents().len()
}

/// One request over a connection of its own: status and JSON body (null when there is none).
async fn raw(cloud: &Cloud, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("content-type", "application/json")];
    let answer = wire::send(cloud.port(), &format!("{method} /iceberg{path}"), &headers, &body).await;
    (wire::status(&answer), serde_json::from_str(wire::body(&answer)).unwrap_or(Value::Null))
}

fn silver() -> NamespaceIdent {
    NamespaceIdent::new("silver".to_owned())
}

fn ident(table: &str) -> TableIdent {
    TableIdent::new(silver(), table.to_owned())
}

async fn create_table(catalog: &RestCatalog, table: &str) -> iceberg::table::Table {
    let schema = Schema::builder()
        .with_fields([
            NestedField::required(1, "review_id", Type::Primitive(PrimitiveType::Long)).into(),
            NestedField::optional(2, "review_year", Type::Primitive(PrimitiveType::Int)).into(),
        ])
        .build()
        .unwrap();
    let spec =
        UnboundPartitionSpec::builder().add_partition_field(2, "review_year", Transform::Identity).unwrap().build();
    let creation = TableCreation::builder().name(table.to_owned()).schema(schema).partition_spec(spec).build();
    catalog.create_table(&silver(), creation).await.unwrap()
}

async fn prepare(cloud: &Cloud, catalog: &RestCatalog) {
    s3(cloud).create_bucket().bucket(LAKE_BUCKET).send().await.unwrap();
    catalog.create_namespace(&silver(), HashMap::new()).await.unwrap();
}

/// A data file by name only: appending does not open it.
fn data_file(table: &iceberg::table::Table, name: &str) -> DataFile {
    let partition = iceberg::spec::Struct::from_iter([Some(iceberg::spec::Literal::int(2024))]);
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("{}/data/{name}.parquet", table.metadata().location()))
        .file_format(DataFileFormat::Parquet)
        .partition(partition)
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(3)
        .file_size_in_bytes(100)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_table_is_made_appended_to_and_still_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, catalog) = start(dir.path()).await;
    prepare(&cloud, &catalog).await;
    assert!(catalog.namespace_exists(&silver()).await.unwrap());
    assert!(!catalog.table_exists(&ident("review")).await.unwrap());

    let table = create_table(&catalog, "review").await;
    assert_eq!(table.metadata().location(), "s3://dm-datalake/silver/review");
    assert!(table.metadata_location().unwrap().starts_with("s3://dm-datalake/silver/review/metadata/00000-"));
    let transaction = Transaction::new(&table);
    let append = transaction.fast_append().add_data_files([data_file(&table, "one")]);
    let appended = append.apply(transaction).unwrap().commit(&catalog).await.unwrap();
    let transaction = Transaction::new(&appended);
    let set = transaction.update_table_properties().set("lakebed.batch-id".to_owned(), "b1".to_owned());
    set.apply(transaction).unwrap().commit(&catalog).await.unwrap();
    cloud.shutdown().await.unwrap();

    let (cloud, catalog) = start(dir.path()).await;
    assert_eq!(catalog.list_namespaces(None).await.unwrap(), [silver()]);
    assert_eq!(catalog.list_tables(&silver()).await.unwrap(), [ident("review")]);
    let table = catalog.load_table(&ident("review")).await.unwrap();
    assert!(table.metadata_location().unwrap().contains("/metadata/00002-"));
    assert_eq!(table.metadata().properties().get("lakebed.batch-id").map(String::as_str), Some("b1"));
    let snapshot = table.metadata().current_snapshot().unwrap();
    let manifests = table.manifest_list_reader(snapshot).load().await.unwrap();
    assert_eq!(manifests.entries().len(), 1);
    assert_eq!(table.metadata().metadata_log().len(), 2);
    assert!(objects(&cloud, "silver/review/metadata").await >= 5, "three metadata files, a list and a manifest");

    catalog.drop_table(&ident("review")).await.unwrap();
    assert_eq!(catalog.load_table(&ident("review")).await.unwrap_err().kind(), ErrorKind::TableNotFound);
    catalog.drop_namespace(&silver()).await.unwrap();
    drop(cloud);
}

#[tokio::test]
async fn a_catalog_alone_keeps_its_files_in_another_s3() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, other) = start(&dir.path().join("stores")).await;
    let config = || CatalogServerConfig {
        port: 0,
        state_dir: dir.path().join("catalog"),
        endpoints: Endpoints::embedded(cloud.port()),
        clock: Clock::wall(),
        seed: Seed(7),
    };
    let server = CatalogServer::start(config()).await.unwrap();
    CatalogServer::start(config()).await.expect_err("one process at a time");
    let at = |url: &str| Endpoints { catalog_url: url.to_owned(), ..Endpoints::embedded(cloud.port()) };
    let catalog = client(&at(server.url())).await;
    prepare(&cloud, &catalog).await;
    let table = create_table(&catalog, "review").await;
    let key = table.metadata_location().unwrap().strip_prefix("s3://dm-datalake/").unwrap();
    s3(&cloud).head_object().bucket(LAKE_BUCKET).key(key).send().await.expect("the metadata lies in that S3");
    assert!(!other.namespace_exists(&silver()).await.unwrap(), "that server's own catalog knows nothing of it");
    server.shutdown().await.unwrap();

    let server = CatalogServer::start(config()).await.unwrap();
    let catalog = client(&at(server.url())).await;
    assert_eq!(catalog.list_tables(&silver()).await.unwrap(), [ident("review")], "kept over a restart");
    server.shutdown().await.unwrap();
    cloud.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stale_commit_conflicts_and_the_client_that_reloads_gets_through() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, catalog) = start(dir.path()).await;
    prepare(&cloud, &catalog).await;
    let table = create_table(&catalog, "review").await;
    let append = |name: &str| {
        let transaction = Transaction::new(&table);
        transaction.fast_append().add_data_files([data_file(&table, name)]).apply(transaction).unwrap()
    };
    append("one").commit(&catalog).await.unwrap();
    // Both transactions start from the empty table; the client meets the conflict, reloads and applies again.
    append("two").commit(&catalog).await.unwrap();
    assert_eq!(catalog.load_table(&ident("review")).await.unwrap().metadata().snapshots().count(), 2);

    let stale = json!({
        "requirements": [{ "type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": null }],
        "updates": [{ "action": "set-properties", "updates": { "stale": "yes" } }],
    });
    let (status, body) = raw(&cloud, "POST", "/v1/namespaces/silver/tables/review", &stale).await;
    assert_eq!((status, &body["error"]["type"]), (409, &json!("CommitFailedException")), "{body}");
    assert_eq!(body["error"]["code"], 409);
    let reloaded = catalog.load_table(&ident("review")).await.unwrap();
    assert!(!reloaded.metadata().properties().contains_key("stale"));
}

#[tokio::test]
async fn racing_commits_never_lose_an_accepted_update() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, catalog) = start(dir.path()).await;
    prepare(&cloud, &catalog).await;
    create_table(&catalog, "review").await;
    let commit = async |n: u32| {
        let body = json!({ "requirements": [],
            "updates": [{ "action": "set-properties", "updates": { format!("k{n}"): "v" } }] });
        (n, raw(&cloud, "POST", "/v1/namespaces/silver/tables/review", &body).await.0)
    };
    let outcomes = futures::future::join_all((0..12).map(commit)).await;
    let table = catalog.load_table(&ident("review")).await.unwrap();
    for (n, status) in outcomes {
        assert!(matches!(status, 200 | 409), "{status}");
        assert_eq!(table.metadata().properties().contains_key(&format!("k{n}")), status == 200, "k{n}");
    }
    // Lost commits take their metadata files away again: what is left is numbered without gaps or doubles.
    let files = objects(&cloud, "silver/review/metadata").await;
    assert_eq!(files, table.metadata().properties().len() + 1);
}

#[tokio::test]
async fn a_transaction_over_two_tables_moves_both_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, catalog) = start(dir.path()).await;
    prepare(&cloud, &catalog).await;
    create_table(&catalog, "a").await;
    create_table(&catalog, "b").await;
    let change = |table: &str, schema_id: i32| {
        json!({
            "identifier": { "namespace": ["silver"], "name": table },
            "requirements": [{ "type": "assert-current-schema-id", "current-schema-id": schema_id }],
            "updates": [{ "action": "set-properties", "updates": { "batch": "1" } }],
        })
    };
    let has_batch = async |table: &str| {
        catalog.load_table(&ident(table)).await.unwrap().metadata().properties().contains_key("batch")
    };
    let body = json!({ "table-changes": [change("a", 0), change("b", 9)] });
    assert_eq!(raw(&cloud, "POST", "/v1/transactions/commit", &body).await.0, 409);
    assert!(!has_batch("a").await && !has_batch("b").await);
    let body = json!({ "table-changes": [change("a", 0), change("b", 0)] });
    assert_eq!(raw(&cloud, "POST", "/v1/transactions/commit", &body).await.0, 204);
    assert!(has_batch("a").await && has_batch("b").await);
}

#[tokio::test]
async fn a_staged_creation_exists_only_once_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, catalog) = start(dir.path()).await;
    prepare(&cloud, &catalog).await;
    let schema = json!({ "type": "struct", "schema-id": 0,
        "fields": [{ "id": 1, "name": "id", "type": "long", "required": true }] });
    let create = json!({ "name": "staged", "schema": schema, "stage-create": true,
        "properties": { "format-version": "2", "owner": "test" } });
    let (status, staged) = raw(&cloud, "POST", "/v1/namespaces/silver/tables", &create).await;
    assert_eq!(status, 200, "{staged}");
    assert!(staged.get("metadata-location").is_none());
    assert!(!catalog.table_exists(&ident("staged")).await.unwrap());

    let commit = json!({
        "requirements": [{ "type": "assert-create" }],
        "updates": [
            { "action": "assign-uuid", "uuid": staged["metadata"]["table-uuid"] },
            { "action": "upgrade-format-version", "format-version": 2 },
            { "action": "add-schema", "schema": staged["metadata"]["schemas"][0], "last-column-id": 1 },
            { "action": "set-current-schema", "schema-id": -1 },
            { "action": "add-spec", "spec": { "spec-id": 0, "fields": [] } },
            { "action": "set-default-spec", "spec-id": -1 },
            { "action": "add-sort-order", "sort-order": { "order-id": 0, "fields": [] } },
            { "action": "set-default-sort-order", "sort-order-id": -1 },
            { "action": "set-location", "location": staged["metadata"]["location"] },
            { "action": "set-properties", "updates": { "owner": "test" } },
        ],
    });
    let (status, body) = raw(&cloud, "POST", "/v1/namespaces/silver/tables/staged", &commit).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["metadata"]["table-uuid"], staged["metadata"]["table-uuid"]);
    assert!(catalog.table_exists(&ident("staged")).await.unwrap());
    assert_eq!(raw(&cloud, "POST", "/v1/namespaces/silver/tables/staged", &commit).await.0, 409);
}

#[tokio::test]
async fn purging_removes_the_files_dropping_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, catalog) = start(dir.path()).await;
    prepare(&cloud, &catalog).await;
    for table in ["kept", "purged"] {
        create_table(&catalog, table).await;
    }
    catalog.drop_table(&ident("kept")).await.unwrap();
    catalog.purge_table(&ident("purged")).await.unwrap();
    assert_eq!(objects(&cloud, "silver/kept/metadata").await, 1);
    assert_eq!(objects(&cloud, "silver/purged/metadata").await, 0);
}

#[tokio::test]
async fn refusals_have_the_specified_codes_and_configuration_holds_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, catalog) = start(dir.path()).await;
    prepare(&cloud, &catalog).await;
    create_table(&catalog, "review").await;
    let get = async |path: &str| raw(&cloud, "GET", path, &Value::Null).await;
    for (method, path, status, kind) in [
        ("GET", "/v1/namespaces/nope", 404, "NoSuchNamespaceException"),
        ("GET", "/v1/namespaces/nope/tables", 404, "NoSuchNamespaceException"),
        ("GET", "/v1/namespaces/silver/tables/nope", 404, "NoSuchTableException"),
        ("DELETE", "/v1/namespaces/silver", 409, "NamespaceNotEmptyException"),
        ("GET", "/v1/namespaces/silver/views", 406, "UnsupportedOperationException"),
        ("POST", "/v1/tables/rename", 406, "UnsupportedOperationException"),
        ("PUT", "/v1/namespaces", 406, "UnsupportedOperationException"),
        ("POST", "/v1/namespaces", 400, "BadRequestException"),
    ] {
        let (got, body) = raw(&cloud, method, path, &Value::Null).await;
        assert_eq!((got, &body["error"]["type"]), (status, &json!(kind)), "{method} {path}: {body}");
        assert_eq!(body["error"]["code"], status);
    }
    let again = json!({ "namespace": ["silver"] });
    assert_eq!(raw(&cloud, "POST", "/v1/namespaces", &again).await.0, 409);
    let (_, config) = get("/v1/config?warehouse=lake").await;
    assert_eq!(config["defaults"]["s3.endpoint"], format!("http://127.0.0.1:{}", cloud.port()));
    assert!(!config.to_string().contains("lakebed-secret"));
    let renamed = catalog.rename_table(&ident("review"), &ident("other")).await;
    assert!(renamed.is_err(), "rename is refused");
}
