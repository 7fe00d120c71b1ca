//! Whose the external resources are: one object in the stage bucket and one file in the state directory hold the same id.
//!
//! So `lakebed up` can be stopped and started again over resources that are full by then, while any other state directory is refused.

use std::path::Path;

use aws_sdk_s3::Client;
use lakebed_contract::{Clock, Seed, layout};

use crate::error::HarnessError;
use crate::run_dir::RunDir;

const KEY: &str = "lakebed-claim";
const FILE: &str = "external-claim";

/// The id of this state directory; `None` before its first use.
pub(super) fn of_run(run_dir: &RunDir) -> Result<Option<String>, HarnessError> {
    let path = run_dir.path().join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HarnessError::file("read", path)(error)),
    }
}

/// Whether this state directory has an id.
pub(super) fn is_there(state_dir: &Path) -> bool {
    state_dir.join(FILE).exists()
}

/// The id in the stage bucket, if there are bucket and id.
pub(super) async fn written(s3: &Client, url: &str) -> Result<Option<String>, HarnessError> {
    let got = s3.get_object().bucket(layout::STAGE_BUCKET).key(KEY).send().await;
    let object = match got {
        Ok(object) => object,
        Err(error) if error.raw_response().is_some_and(|answer| matches!(answer.status().as_u16(), 403 | 404)) => {
            // Forbidden is what S3 says of a key that is not there to somebody who may not list; the look that follows tells.
            return Ok(None);
        }
        Err(error) => return Err(HarnessError::endpoint("S3", url)(error)),
    };
    let body = object.body.collect().await.map_err(HarnessError::stage("read the claim on the stage bucket"))?;
    Ok(String::from_utf8(body.to_vec()).ok())
}

/// Leaves a new id in both places, the bucket first: a start that is refused must not mark the directory.
pub(super) async fn leave(s3: &Client, run_dir: &RunDir, seed: Seed, clock: &Clock) -> Result<(), HarnessError> {
    let id = format!("{:016x}", seed.unique("external-claim", clock).0);
    let put = s3.put_object().bucket(layout::STAGE_BUCKET).key(KEY).body(id.clone().into_bytes().into());
    put.send().await.map_err(HarnessError::stage("leave a claim on the stage bucket"))?;
    let path = run_dir.path().join(FILE);
    std::fs::write(&path, &id).map_err(HarnessError::file("write", &path))
}
