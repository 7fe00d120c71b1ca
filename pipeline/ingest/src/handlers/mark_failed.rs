//! `dm-control-mark-failed`: closes the control record of an execution that failed.

use std::sync::Arc;

use async_trait::async_trait;
use lakebed_contract::handler::MARK_FAILED;
use lakebed_contract::{Handler, HandlerError, Invocation};
use serde_json::{Value, json};

use crate::worker::{ObjectInput, Worker};

pub(super) struct MarkFailed {
    pub(super) worker: Arc<Worker>,
}

#[async_trait]
impl Handler for MarkFailed {
    async fn invoke(&self, _: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        let error = describe(&payload["error"]);
        let input = ObjectInput::read(MARK_FAILED, payload)?;
        let record = self.worker.control.mark_failed(&input.pk, &error).await?;
        Ok(json!({"pk": record.pk, "status": record.status.as_str()}))
    }
}

/// `{"Error", "Cause"}` in one line.
fn describe(error: &Value) -> String {
    let part = |name: &str| error[name].as_str().unwrap_or_default();
    match (part("Error"), part("Cause")) {
        ("", "") => "the execution failed without a word".to_owned(),
        (error, "") => error.to_owned(),
        (error, cause) => format!("{error}: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_described_as_far_as_it_says_anything() {
        assert_eq!(describe(&json!({"Error": "States.Timeout", "Cause": ""})), "States.Timeout");
        assert_eq!(describe(&json!({"Error": "A", "Cause": "b"})), "A: b");
        assert_eq!(describe(&Value::Null), "the execution failed without a word");
    }
}
