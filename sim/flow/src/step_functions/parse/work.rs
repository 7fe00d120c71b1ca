//! Reads the states that do work and may be tried again: Task, Map, Parallel, with their `Retry` and `Catch`.

use super::super::definition::{Action, Catcher, Fields, Kind, Resource, Retrier, Seconds, Work};
use super::super::path::Path;
use super::super::template::Template;
use super::{ALWAYS, GOES_ON, PATHS, Wrong, read_graph, read_seconds, state_place};

/// Iterations of one inline Map that may run at once; `MaxConcurrency` 0 or above means this.
pub const MAP_CONCURRENCY_MAX: usize = 40;
/// The longest wait before a retry: AWS's 31,622,400 seconds.
pub const RETRY_DELAY_SECONDS_MAX: u64 = 31_622_400;

/// Fields all of them may have.
const WORK: &[&str] = &["ResultSelector", "ResultPath", "Retry", "Catch"];

fn read_work(fields: &Fields<'_>, action: Action, parameters: Option<Template>) -> Result<Kind, String> {
    Ok(Kind::Work(Box::new(Work {
        action,
        parameters,
        result_selector: fields.template("ResultSelector")?,
        result_path: fields.result_path()?,
        retriers: read_retriers(fields)?,
        catchers: read_catchers(fields)?,
    })))
}

pub(super) fn read_task(fields: &Fields<'_>) -> Result<Kind, String> {
    fields.only(&[
        ALWAYS,
        GOES_ON,
        PATHS,
        WORK,
        &["Resource", "Parameters", "TimeoutSeconds", "TimeoutSecondsPath"],
    ])?;
    let resource = read_resource(fields.required_text("Resource")?)?;
    let parameters = fields.template("Parameters")?;
    let allowed: &[&str] = match resource {
        Resource::LambdaInvoke => &["FunctionName", "Payload"],
        Resource::EcsRunTaskSync => &["Cluster", "LaunchType", "TaskDefinition", "Overrides"],
        Resource::Function(_) => &[],
    };
    if !allowed.is_empty() {
        let template = parameters.as_ref().ok_or("`Parameters` is missing")?;
        if let Some(unknown) = template.field_names().find(|name| !allowed.contains(name)) {
            return Err(format!("parameter `{unknown}` is not supported; supported are {}", allowed.join(", ")));
        }
        let required = if resource == Resource::LambdaInvoke { "FunctionName" } else { "TaskDefinition" };
        if !template.field_names().any(|name| name == required) {
            return Err(format!("parameter `{required}` is missing"));
        }
    }
    let timeout = read_seconds(fields, "TimeoutSeconds", "TimeoutSecondsPath")?;
    if matches!(timeout, Some(Seconds::Fixed(0))) {
        return Err("`TimeoutSeconds` must be at least 1".to_owned());
    }
    read_work(fields, Action::Task { resource, timeout }, parameters)
}

fn read_resource(resource: &str) -> Result<Resource, String> {
    match resource {
        "arn:aws:states:::lambda:invoke" => Ok(Resource::LambdaInvoke),
        "arn:aws:states:::ecs:runTask.sync" => Ok(Resource::EcsRunTaskSync),
        "" => Err("`Resource` is empty".to_owned()),
        name if !name.contains(':') || (name.starts_with("arn:aws:lambda:") && name.contains(":function:")) => {
            Ok(Resource::Function(name.to_owned()))
        }
        other => Err(format!(
            "resource `{other}` is not supported; supported are `arn:aws:states:::lambda:invoke`, \
             `arn:aws:states:::ecs:runTask.sync` and a Lambda function"
        )),
    }
}

pub(super) fn read_map(name: &str, fields: &Fields<'_>) -> Result<Kind, Wrong> {
    let here = |reason: String| (state_place(name), reason);
    let own = &["ItemsPath", "ItemSelector", "Parameters", "MaxConcurrency", "ItemProcessor", "Iterator"];
    fields.only(&[ALWAYS, GOES_ON, PATHS, WORK, own]).map_err(here)?;
    let processor = match (fields.get("ItemProcessor"), fields.get("Iterator")) {
        (Some(processor), None) | (None, Some(processor)) => processor,
        _ => return Err(here("it needs either `ItemProcessor` or its old name `Iterator`".to_owned())),
    };
    let processor = Fields::of(processor, "`ItemProcessor`").map_err(here)?;
    processor.only(&[&["StartAt", "States", "ProcessorConfig", "Comment"]]).map_err(here)?;
    if let Some(config) = processor.get("ProcessorConfig") {
        let config = Fields::of(config, "`ProcessorConfig`").map_err(here)?;
        config.only(&[&["Mode"]]).map_err(here)?;
        if config.text("Mode").map_err(here)?.is_some_and(|mode| mode != "INLINE") {
            return Err(here("`ProcessorConfig.Mode` must be `INLINE`".to_owned()));
        }
    }
    let selector = match (fields.template("ItemSelector"), fields.template("Parameters")) {
        (Ok(Some(_)), Ok(Some(_))) => {
            return Err(here("`ItemSelector` and its old name `Parameters` exclude each other".to_owned()));
        }
        (selector, parameters) => selector.map_err(here)?.or(parameters.map_err(here)?),
    };
    let asked = usize::try_from(fields.number("MaxConcurrency").map_err(here)?.unwrap_or(0)).unwrap_or(usize::MAX);
    let concurrency = if asked == 0 { MAP_CONCURRENCY_MAX } else { asked.min(MAP_CONCURRENCY_MAX) };
    let items_path = fields.path("ItemsPath").map_err(here)?.unwrap_or_else(Path::root);
    let graph = read_graph(&processor, &state_place(name))?;
    read_work(fields, Action::Map { items_path, concurrency, graph }, selector).map_err(here)
}

pub(super) fn read_parallel(name: &str, fields: &Fields<'_>) -> Result<Kind, Wrong> {
    let here = |reason: String| (state_place(name), reason);
    fields.only(&[ALWAYS, GOES_ON, PATHS, WORK, &["Parameters", "Branches"]]).map_err(here)?;
    let mut branches = Vec::new();
    for branch in fields.list("Branches").map_err(here)? {
        let branch = Fields::of(branch, "a branch").map_err(here)?;
        branch.only(&[&["StartAt", "States", "Comment"]]).map_err(here)?;
        branches.push(read_graph(&branch, &state_place(name))?);
    }
    if branches.is_empty() || branches.len() > MAP_CONCURRENCY_MAX {
        return Err(here(format!("it needs between 1 and {MAP_CONCURRENCY_MAX} `Branches`")));
    }
    let parameters = fields.template("Parameters").map_err(here)?;
    read_work(fields, Action::Parallel { branches }, parameters).map_err(here)
}

/// `ErrorEquals`: `States.ALL` stands alone and in the last entry.
fn read_errors(fields: &Fields<'_>, is_last: bool) -> Result<Vec<String>, String> {
    let mut errors = Vec::new();
    for error in fields.list("ErrorEquals")? {
        errors.push(error.as_str().ok_or("`ErrorEquals` must hold strings")?.to_owned());
    }
    if errors.is_empty() {
        return Err("`ErrorEquals` is missing or empty".to_owned());
    }
    if errors.iter().any(|error| error == "States.ALL") && (errors.len() > 1 || !is_last) {
        return Err("`States.ALL` must stand alone, in the last entry".to_owned());
    }
    Ok(errors)
}

fn read_retriers(fields: &Fields<'_>) -> Result<Vec<Retrier>, String> {
    let entries = fields.list("Retry")?;
    let mut retriers = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let entry = Fields::of(entry, "an entry of `Retry`")?;
        let delays = &["IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"];
        entry.only(&[&["ErrorEquals", "Comment"], delays])?;
        let interval_seconds = entry.number("IntervalSeconds")?.unwrap_or(1);
        let backoff_rate = match entry.get("BackoffRate") {
            None => 2.0,
            Some(rate) => rate.as_f64().filter(|rate| *rate >= 1.0).ok_or("`BackoffRate` must be 1.0 or more")?,
        };
        let delay_seconds_max = entry.number("MaxDelaySeconds")?.unwrap_or(RETRY_DELAY_SECONDS_MAX);
        if interval_seconds == 0 || delay_seconds_max <= interval_seconds || delay_seconds_max > RETRY_DELAY_SECONDS_MAX
        {
            return Err(format!(
                "0 < `IntervalSeconds` < `MaxDelaySeconds` <= {RETRY_DELAY_SECONDS_MAX} does not hold"
            ));
        }
        let full_jitter = match entry.text("JitterStrategy")? {
            None | Some("NONE") => false,
            Some("FULL") => true,
            Some(other) => return Err(format!("`JitterStrategy` `{other}` is neither `NONE` nor `FULL`")),
        };
        retriers.push(Retrier {
            errors: read_errors(&entry, index + 1 == entries.len())?,
            interval_seconds,
            attempts_max: entry.number("MaxAttempts")?.unwrap_or(3),
            backoff_rate,
            delay_seconds_max,
            full_jitter,
        });
    }
    Ok(retriers)
}

fn read_catchers(fields: &Fields<'_>) -> Result<Vec<Catcher>, String> {
    let entries = fields.list("Catch")?;
    let mut catchers = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let entry = Fields::of(entry, "an entry of `Catch`")?;
        entry.only(&[&["ErrorEquals", "ResultPath", "Next", "Comment"]])?;
        catchers.push(Catcher {
            errors: read_errors(&entry, index + 1 == entries.len())?,
            result_path: entry.result_path()?,
            next: entry.required_text("Next")?.to_owned(),
        });
    }
    Ok(catchers)
}
