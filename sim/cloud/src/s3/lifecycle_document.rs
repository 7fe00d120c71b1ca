//! Lifecycle configurations as they are written: from XML to rules and back, and what AWS refuses.
//!
//! Rules that move objects to another storage class are refused as not implemented, since there is only one here. Of the
//! texts of AWS those that are documented or were seen often are kept to the letter. What rules mean is
//! [`super::lifecycle_rules`].

use std::collections::BTreeSet;

use lakebed_contract::Timestamp;
use s3s::dto::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleAndOperator,
    LifecycleRuleFilter, NoncurrentVersionExpiration, Tag, TimestampFormat,
};
use s3s::{S3Error, S3Result, s3_error};

use super::internal;
use super::lifecycle_rules::{Expiration, Form, NonCurrentExpiration, Rule, Selection, is_midnight};
use super::store::dto_timestamp;
use super::tagging::{KEY_UNITS_MAX, Tags, VALUE_UNITS_MAX};

const RULES_MAX: usize = 1000;
const ID_CHARACTERS_MAX: usize = 255;
/// Most versions that a rule may keep beside the current one.
const NEWER_VERSIONS_MAX: i32 = 100;

fn malformed() -> S3Error {
    s3_error!(MalformedXML)
}

/// Reads a configuration; `made_up` gives the id of a rule without one.
pub(super) fn rules_of(document: Vec<LifecycleRule>, made_up: impl Fn(usize) -> String) -> S3Result<Vec<Rule>> {
    if document.is_empty() {
        return Err(malformed());
    }
    if document.len() > RULES_MAX {
        return Err(s3_error!(InvalidRequest, "Rules number should not exceed allowed limit of {RULES_MAX}"));
    }
    let (mut rules, mut ids) = (Vec::with_capacity(document.len()), BTreeSet::new());
    for (at, rule) in document.into_iter().enumerate() {
        let rule = rule_of(rule, || made_up(at))?;
        if !ids.insert(rule.id.clone()) {
            return Err(s3_error!(InvalidArgument, "Rule ID must be unique. Found same ID for more than one rule"));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule_of(rule: LifecycleRule, made_up: impl FnOnce() -> String) -> S3Result<Rule> {
    let is_some_list = |list: Option<usize>| list.is_some_and(|length| length > 0);
    if is_some_list(rule.transitions.as_ref().map(Vec::len))
        || is_some_list(rule.noncurrent_version_transitions.as_ref().map(Vec::len))
    {
        return Err(s3_error!(NotImplemented, "transitions to other storage classes are not implemented"));
    }
    let id = rule.id.filter(|id| !id.is_empty()).unwrap_or_else(made_up);
    if id.chars().count() > ID_CHARACTERS_MAX {
        return Err(s3_error!(InvalidArgument, "ID length should not exceed allowed limit of {ID_CHARACTERS_MAX}"));
    }
    let is_enabled = match rule.status.as_str() {
        ExpirationStatus::ENABLED => true,
        ExpirationStatus::DISABLED => false,
        _ => return Err(malformed()),
    };
    let (form, selection) = match (rule.prefix, rule.filter) {
        (Some(prefix), None) => (Form::Prefix, Selection { prefix: Some(prefix), ..Selection::default() }),
        (None, Some(filter)) => selection_of(filter)?,
        (Some(_), Some(_)) | (None, None) => return Err(malformed()),
    };
    let expiration = rule.expiration.map(|expiration| expiration_of(&expiration)).transpose()?;
    let non_current = rule.noncurrent_version_expiration.map(|rule| non_current_of(&rule)).transpose()?;
    let upload_days = rule.abort_incomplete_multipart_upload.map(|rule| upload_days_of(&rule)).transpose()?;
    let rule = Rule { id, is_enabled, form, selection, expiration, non_current, upload_days };
    check_together(&rule)?;
    Ok(rule)
}

/// What only the whole rule shows.
fn check_together(rule: &Rule) -> S3Result<()> {
    if rule.expiration.is_none() && rule.non_current.is_none() && rule.upload_days.is_none() {
        return Err(s3_error!(InvalidRequest, "At least one action needs to be specified in a rule"));
    }
    let has_tags = !rule.selection.tags.is_empty();
    if has_tags && matches!(rule.expiration, Some(Expiration::LoneMarkers(_))) {
        return Err(malformed());
    }
    if rule.upload_days.is_some() && (has_tags || rule.selection.has_sizes()) {
        let with = if has_tags { "Tags" } else { "Object Size" };
        return Err(s3_error!(InvalidRequest, "AbortIncompleteMultipartUpload cannot be specified with {with}"));
    }
    if rule.form == Form::Prefix && rule.non_current.is_some_and(|rule| rule.newer.is_some()) {
        return Err(s3_error!(InvalidRequest, "NewerNoncurrentVersions element can only be used in Lifecycle V2."));
    }
    Ok(())
}

fn selection_of(filter: LifecycleRuleFilter) -> S3Result<(Form, Selection)> {
    let LifecycleRuleFilter { and, object_size_greater_than, object_size_less_than, prefix, tag } = filter;
    let alone = [prefix.is_some(), tag.is_some(), object_size_greater_than.is_some(), object_size_less_than.is_some()];
    let conditions = alone.into_iter().filter(|is_there| *is_there).count();
    let (form, selection, tags) = match and {
        Some(_) if conditions > 0 => return Err(malformed()),
        None if conditions > 1 => return Err(malformed()),
        None => {
            let (size_greater_than, size_less_than) = (object_size_greater_than, object_size_less_than);
            let selection = Selection { prefix, tags: Tags::new(), size_greater_than, size_less_than };
            (Form::Filter, selection, tag.into_iter().collect())
        }
        Some(and) => {
            let LifecycleRuleAndOperator { object_size_greater_than, object_size_less_than, prefix, tags } = and;
            let tags = tags.unwrap_or_default();
            let (size_greater_than, size_less_than) = (object_size_greater_than, object_size_less_than);
            let sizes = usize::from(size_greater_than.is_some()) + usize::from(size_less_than.is_some());
            if usize::from(prefix.is_some()) + sizes + tags.len() < 2 {
                return Err(malformed());
            }
            (Form::And, Selection { prefix, tags: Tags::new(), size_greater_than, size_less_than }, tags)
        }
    };
    check_sizes(&selection)?;
    Ok((form, Selection { tags: tags_of(tags)?, ..selection }))
}

fn check_sizes(selection: &Selection) -> S3Result<()> {
    let Selection { size_greater_than, size_less_than, .. } = *selection;
    if size_greater_than.is_some_and(|size| size < 0) {
        return Err(s3_error!(InvalidRequest, "'ObjectSizeGreaterThan' should be greater than or equal to 0"));
    }
    if size_less_than.is_some_and(|size| size <= size_greater_than.unwrap_or(0)) {
        return Err(s3_error!(
            InvalidRequest,
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'"
        ));
    }
    Ok(())
}

fn tags_of(document: Vec<Tag>) -> S3Result<Tags> {
    let mut tags = Tags::new();
    for tag in document {
        let (Some(key), Some(value)) = (tag.key, tag.value) else { return Err(malformed()) };
        let units = |text: &str| text.encode_utf16().count();
        if key.is_empty() || units(&key) > KEY_UNITS_MAX {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if units(&value) > VALUE_UNITS_MAX {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidRequest, "Duplicate Tag Keys are not allowed."));
        }
    }
    Ok(tags)
}

fn expiration_of(expiration: &LifecycleExpiration) -> S3Result<Expiration> {
    match (expiration.days, &expiration.date, expiration.expired_object_delete_marker) {
        (Some(days), None, None) if days > 0 => Ok(Expiration::Days(days)),
        (Some(_), None, None) => {
            Err(s3_error!(InvalidArgument, "'Days' for Expiration action must be a positive integer"))
        }
        (None, Some(date), None) => match moment(date)? {
            Some(date) if is_midnight(date) => Ok(Expiration::Date(date)),
            _ => Err(s3_error!(InvalidArgument, "'Date' must be at midnight GMT")),
        },
        (None, None, Some(is_on)) => Ok(Expiration::LoneMarkers(is_on)),
        _ => Err(malformed()),
    }
}

/// A moment of whole seconds.
fn moment(date: &s3s::dto::Timestamp) -> S3Result<Option<Timestamp>> {
    let mut seconds = Vec::new();
    date.format(TimestampFormat::EpochSeconds, &mut seconds).map_err(internal("read a date"))?;
    let seconds = std::str::from_utf8(&seconds).ok().and_then(|text| text.parse::<i64>().ok());
    Ok(seconds.map(Timestamp::from_seconds))
}

fn non_current_of(rule: &NoncurrentVersionExpiration) -> S3Result<NonCurrentExpiration> {
    let days = rule.noncurrent_days.ok_or_else(malformed)?;
    if days <= 0 {
        return Err(s3_error!(
            InvalidArgument,
            "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer"
        ));
    }
    let newer = rule.newer_noncurrent_versions;
    if newer.is_some_and(|newer| !(1..=NEWER_VERSIONS_MAX).contains(&newer)) {
        return Err(s3_error!(
            InvalidArgument,
            "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be a positive integer between 1 and \
             {NEWER_VERSIONS_MAX}"
        ));
    }
    Ok(NonCurrentExpiration { days, newer })
}

fn upload_days_of(rule: &AbortIncompleteMultipartUpload) -> S3Result<i32> {
    let days = rule.days_after_initiation.ok_or_else(malformed)?;
    if days > 0 {
        return Ok(days);
    }
    Err(s3_error!(
        InvalidArgument,
        "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer"
    ))
}

/// A rule as GetBucketLifecycleConfiguration writes it.
pub(super) fn document_of(rule: &Rule) -> LifecycleRule {
    let Selection { prefix, tags, size_greater_than, size_less_than } = rule.selection.clone();
    let mut tags = tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) });
    let (old_prefix, filter) = match rule.form {
        Form::Prefix => (prefix, None),
        Form::Filter => {
            let filter = LifecycleRuleFilter {
                and: None,
                object_size_greater_than: size_greater_than,
                object_size_less_than: size_less_than,
                prefix,
                tag: tags.next(),
            };
            (None, Some(filter))
        }
        Form::And => {
            let and = LifecycleRuleAndOperator {
                object_size_greater_than: size_greater_than,
                object_size_less_than: size_less_than,
                prefix,
                tags: Some(tags.collect()),
            };
            (None, Some(LifecycleRuleFilter { and: Some(and), ..LifecycleRuleFilter::default() }))
        }
    };
    let expiration = rule.expiration.map(|expiration| match expiration {
        Expiration::Days(days) => LifecycleExpiration { days: Some(days), ..LifecycleExpiration::default() },
        Expiration::Date(date) => {
            LifecycleExpiration { date: Some(dto_timestamp(date)), ..LifecycleExpiration::default() }
        }
        Expiration::LoneMarkers(is_on) => {
            LifecycleExpiration { expired_object_delete_marker: Some(is_on), ..LifecycleExpiration::default() }
        }
    });
    let non_current = rule.non_current.map(|rule| NoncurrentVersionExpiration {
        newer_noncurrent_versions: rule.newer,
        noncurrent_days: Some(rule.days),
    });
    let status = if rule.is_enabled { ExpirationStatus::ENABLED } else { ExpirationStatus::DISABLED };
    LifecycleRule {
        abort_incomplete_multipart_upload: rule
            .upload_days
            .map(|days| AbortIncompleteMultipartUpload { days_after_initiation: Some(days) }),
        expiration,
        filter,
        id: Some(rule.id.clone()),
        noncurrent_version_expiration: non_current,
        noncurrent_version_transitions: None,
        prefix: old_prefix,
        status: ExpirationStatus::from_static(status),
        transitions: None,
    }
}

#[cfg(test)]
mod tests;
