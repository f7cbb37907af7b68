//! Each action that dayfly needs, tried once: what is refused is named, with the statement that allows it.

use dayfly_shared::job::Location;
use dayfly_shared::store::{
    Attributes, Condition, ETag, ListQuery, Outcome, Result as StoreResult, Store, StoreError, StoreErrorKind,
    StoreExt as _, Upload,
};

use super::report::{Line, Mark};

/// Lines on which tidying up depends.
pub const ABORT: &str = "abort an upload in parts";
/// The other one.
pub const LIST_UPLOADS: &str = "list uploads in parts";

/// The scratch key of the trials.
const NAME: &str = "access";

/// Tries every action on keys that begin with `scratch`.
///
/// # Errors
/// What is no matter of permissions and makes all else useless: no such bucket, no credentials, nobody there.
pub async fn trials(store: &dyn Store, place: &Location, scratch: &str) -> StoreResult<Vec<Line>> {
    let mut trials = Trials { place, lines: Vec::new() };
    let (key, upload_key) = (format!("{scratch}{NAME}"), format!("{scratch}{NAME}-parts"));
    let (text, none) = (|word: &'static str| word.into(), Attributes::default());
    // First: it tells a missing bucket, credentials and an endpoint apart better than any other.
    let page = store.list(&ListQuery { limit: 1, ..ListQuery::under(scratch) }).await;
    trials.note("list", "s3:ListBucket", page.map(Some))?;
    let put = store.put(&key, text("1"), &none, &Condition::Overwrite).await;
    trials.write("put", "s3:PutObject", put)?;
    let get = store.read(&key).await;
    trials.note("get", "s3:GetObject", get.map(Some))?;
    let head = trials.note("head", "s3:GetObject", store.head(&key).await.map(Some))?.flatten();
    let etag = head.map_or_else(|| ETag::new("none"), |meta| meta.etag);
    let create = store.put(&format!("{key}-new"), text("1"), &none, &Condition::Create).await;
    trials.write("put with If-None-Match", "s3:PutObject", create)?;
    let update = store.put(&key, text("2"), &none, &Condition::Update(etag)).await;
    let etag = trials.write("put with If-Match", "s3:PutObject", update)?;
    let begun = store.upload_begin(&upload_key, &none).await;
    if let Some(upload) = trials.note("begin an upload in parts", "s3:PutObject", begun.map(Some))? {
        upload_steps(store, &mut trials, &upload).await?;
    }
    // Where beginning is refused, that was said above.
    if let Ok(upload) = store.upload_begin(&upload_key, &none).await {
        let abort = store.upload_abort(&upload).await;
        trials.note(ABORT, "s3:AbortMultipartUpload", abort.map(Some))?;
    }
    let uploads = store.uploads(scratch).await;
    trials.note(LIST_UPLOADS, "s3:ListBucketMultipartUploads", uploads.map(Some))?;
    let delete = store.delete(&key, etag.as_ref()).await;
    trials.write("delete", "s3:DeleteObject", delete)?;
    Ok(trials.lines)
}

async fn upload_steps(store: &dyn Store, trials: &mut Trials<'_>, upload: &Upload) -> StoreResult<()> {
    let part = store.upload_part(upload, 1, "part".into()).await;
    if let Some(part) = trials.note("send a part", "s3:PutObject", part.map(Some))? {
        let complete = store.upload_complete(upload, &[part], &Condition::Create).await;
        trials.write("complete an upload in parts", "s3:PutObject", complete)?;
    }
    Ok(())
}

struct Trials<'a> {
    place: &'a Location,
    lines: Vec<Line>,
}

impl Trials<'_> {
    /// A write that may have been rejected: only whether it was allowed is asked here.
    fn write<T>(&mut self, what: &str, action: &str, outcome: StoreResult<Outcome<T>>) -> StoreResult<Option<T>> {
        let unclear = match &outcome {
            Ok(Outcome::Unknown(said)) => Some(said.clone()),
            _ => None,
        };
        if let Some(said) = unclear {
            self.lines.push(Line::new(Mark::Open, what, action, format!("no clear answer: {said}")));
            return Ok(None);
        }
        self.note(what, action, outcome.map(|outcome| if let Outcome::Applied(it) = outcome { Some(it) } else { None }))
    }

    fn note<T>(&mut self, what: &str, action: &str, answer: StoreResult<Option<T>>) -> StoreResult<Option<T>> {
        let (mark, came, value) = match answer {
            Ok(value) => (Mark::Ok, "allowed".to_owned(), value),
            Err(error) if is_refusal(&error) => {
                let statement = statement(self.place, action);
                (Mark::Refused, format!("{error}; add to the policy: {statement}"), None)
            }
            // Not the first: nobody there, or nothing that speaks S3, and the rest would say the same after its own wait.
            Err(error)
                if !self.lines.is_empty()
                    && matches!(error.kind, StoreErrorKind::Unsupported | StoreErrorKind::Transient) =>
            {
                (Mark::Open, error.to_string(), None)
            }
            Err(error) => return Err(error),
        };
        // An error names the action itself.
        let tried = if mark == Mark::Ok { action } else { "" };
        self.lines.push(Line::new(mark, what, tried, came));
        Ok(value)
    }
}

/// Whether it is a matter of permissions, and not of keys or clocks. HEAD answers have no body that bears a code.
fn is_refusal(error: &StoreError) -> bool {
    let said = ["AccessDenied", "status 403", "status 401"];
    error.kind == StoreErrorKind::Denied && said.iter().any(|word| error.detail.starts_with(word))
}

/// The statement of an IAM policy that allows the action in this place (IAM user guide, "JSON policy elements").
fn statement(place: &Location, action: &str) -> String {
    let (bucket, prefix) = (place.bucket(), place.prefix());
    let mut statement = serde_json::json!({
        "Effect": "Allow",
        "Action": action,
        "Resource": match action.starts_with("s3:List") {
            true => format!("arn:aws:s3:::{bucket}"),
            false => format!("arn:aws:s3:::{bucket}/{prefix}*"),
        },
    });
    // The listing of uploads knows no such condition (service authorization reference, Amazon S3).
    if action == "s3:ListBucket" && !prefix.is_empty() {
        statement["Condition"] = serde_json::json!({ "StringLike": { "s3:prefix": format!("{prefix}*") } });
    }
    statement.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_the_action_and_the_place() {
        let place: Location = "s3://bucket/a/b".parse().unwrap();
        assert_eq!(
            statement(&place, "s3:DeleteObject"),
            r#"{"Action":"s3:DeleteObject","Effect":"Allow","Resource":"arn:aws:s3:::bucket/a/b/*"}"#
        );
        let list = statement(&place, "s3:ListBucket");
        assert!(
            list.contains(r#""Resource":"arn:aws:s3:::bucket""#) && list.contains(r#""s3:prefix":"a/b/*""#),
            "{list}"
        );
    }

    #[test]
    fn wrong_keys_are_no_matter_of_permissions() {
        let denied = |detail: &str| StoreError {
            kind: StoreErrorKind::Denied,
            action: "s3:PutObject",
            place: "s3://bucket/k".into(),
            detail: detail.into(),
        };
        assert!(is_refusal(&denied("AccessDenied (403) no; allow s3:PutObject")));
        assert!(is_refusal(&denied("status 403 without a message")));
        assert!(!is_refusal(&denied("SignatureDoesNotMatch (403) the secret key is another")));
    }
}
