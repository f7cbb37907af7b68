//! Who tells that a job is over: `sns:Publish` (SNS API reference, "Publish"), and a POST to a webhook.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Account, Answer, Http, Service, Vault};
use crate::notice::{Address, Herald, Notice, Untold, check_url, leads_here};
use crate::secret::{NoSecret, SecretName, Secrets as _};

const SNS: Service = Service { name: "sns", variable: "AWS_ENDPOINT_URL_SNS" };

/// The version of the API that this is written from.
const VERSION: &str = "2010-03-31";

/// The longest subject (SNS API reference, Publish: less than 100 characters of ASCII, no line breaks).
const SUBJECT_MAX: usize = 99;

/// Tells topics and webhooks.
pub struct Heralds {
    account: Arc<Account>,
    vault: Arc<Vault>,
    http: Http,
    tells_here: bool,
}

impl Heralds {
    /// With this account's credentials where a topic or a secret asks for any.
    pub fn new(account: Arc<Account>, vault: Arc<Vault>) -> Self {
        let http = Http::new(Arc::clone(account.clock()));
        Self { account, vault, http, tells_here: true }
    }

    /// Tells no webhook on this machine: for who looks at a job that others may have made, on a machine where services
    /// may take whatever comes from it.
    #[must_use]
    pub fn but_not_here(self) -> Self {
        Self { tells_here: false, ..self }
    }

    /// What a message needs before it can go, or that it took too long.
    async fn ready<T>(&self, what: impl Future<Output = T>) -> Result<T, Untold> {
        tokio::select! {
            biased;
            done = what => Ok(done),
            () = self.account.clock().sleep(READY) => {
                Err(Untold { why: format!("no answer within {} s", READY.as_secs()), is_final: false })
            }
        }
    }

    async fn publish(&self, arn: &str, region: Option<&str>, notice: &Notice) -> Result<(), Untold> {
        let about = |why: String| format!("sns:Publish {arn}: {why}");
        let services = self.ready(self.account.services()).await?;
        let services = services.map_err(|why| Untold { why: about(why), is_final: true })?;
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let region = region.unwrap_or(services.region()).to_owned();
        let answer = services.post_in(&region, SNS, &headers, body(arn, notice)).await;
        let answer = answer.map_err(|why| Untold { why: about(why), is_final: false })?;
        judge(answer.status, || about(said(&answer)))
    }

    /// `url` is one that [`check_url`] takes.
    async fn post(&self, url: &str, notice: &Notice) -> Result<(), Untold> {
        if !self.tells_here && leads_here(url) {
            return Err(Untold { why: NOT_HERE.to_owned(), is_final: true });
        }
        // Plain data with text keys: serialising it cannot fail.
        let body = serde_json::to_string(notice).unwrap_or_default();
        let headers = [("content-type", "application/json".to_owned()), ("user-agent", AGENT.to_owned())];
        match self.http.tell(url, headers, body).await {
            // No word of the answer: servers repeat the path that they were asked for, and it is the secret.
            Ok(status) => judge(status, || format!("HTTP {status}{}", meaning(status))),
            Err(why) => Err(Untold { why: without(url, why), is_final: false }),
        }
    }
}

/// How long a secret, or the way to AWS, may take. The message takes no longer than that after it, or twice that where it
/// is signed.
const READY: Duration = Duration::from_secs(10);

const NOT_HERE: &str =
    "a command tells a webhook on its own machine only of jobs whose store is there too; agents do tell it";

/// Shorter parts of a URL are words of any text, and no secrets.
const PART_MIN: usize = 5;

const AGENT: &str = concat!("dayfly/", env!("CARGO_PKG_VERSION"));

#[async_trait]
impl Herald for Heralds {
    async fn tell(&self, to: &Address, notice: &Notice) -> Result<(), Untold> {
        match to {
            Address::Topic(arn) => self.publish(arn, to.region(), notice).await,
            Address::Webhook(url) => {
                check_url(url).map_err(|e| Untold { why: e.to_string(), is_final: true })?;
                self.post(url, notice).await
            }
            Address::SecretWebhook(name) => {
                let fetched = self.ready(self.vault.fetch(name)).await.map_err(|late| Untold {
                    why: format!("the secret {name} cannot be had ({}): {}", name.action(), late.why),
                    ..late
                })?;
                let url = fetched.map_err(|error| Untold {
                    is_final: matches!(error, NoSecret::Refused(_)),
                    why: error.to_string(),
                })?;
                // A last newline is what editors leave.
                let url = url.trim();
                // What is there instead may be any secret: nothing of it is shown.
                check_url(url).map_err(|_| Untold { why: no_url(name), is_final: true })?;
                self.post(url, notice).await
            }
        }
    }
}

/// What a status means; a service that is too busy, or broken, may not be so in a moment.
fn judge(status: u16, why: impl FnOnce() -> String) -> Result<(), Untold> {
    match status {
        200..=299 => Ok(()),
        _ => {
            let is_final = (300..500).contains(&status) && !matches!(status, 408 | 425 | 429);
            Err(Untold { why: why(), is_final })
        }
    }
}

/// What SNS says of a refusal: it was sent nothing secret.
fn said(answer: &Answer) -> String {
    let words: String = answer.body.chars().filter(|c| !c.is_control()).take(300).collect();
    format!("HTTP {} {words}", answer.status)
}

/// What a webhook's refusal asks for.
fn meaning(status: u16) -> &'static str {
    match status {
        300..=399 => ": it redirects, and no redirection is followed; name the URL that it leads to",
        401 | 403 => ": it lets nobody in by this URL; make a new one, and name that",
        404 | 410 => ": nothing takes notices at this URL; make a new one, and name that",
        400..=499 => ": it takes no such message; it has to take JSON with a 'text'",
        _ => "",
    }
}

fn no_url(name: &SecretName) -> String {
    let fix = match name {
        SecretName::Parameter(_) => "put the webhook's URL into it, and nothing else".to_owned(),
        SecretName::Secret { field: None, .. } => {
            format!("put the webhook's URL into it; if it is a JSON object, name the key that has the URL: {name}#KEY")
        }
        SecretName::Secret { field: Some(_), .. } => "put the webhook's URL under that key".to_owned(),
    };
    format!("the secret {name} holds no https:// URL; {fix}")
}

/// A text without the parts of a URL, whoever wrote it: libraries' errors may name what was asked for.
fn without(url: &str, text: String) -> String {
    let parts = url.split(['/', '?', '#', '&', '=', ':']).filter(|part| part.len() >= PART_MIN && *part != "https");
    parts.fold(text, |text, part| text.replace(part, "…"))
}

/// The subject for people, and the notice for both.
fn body(topic: &str, notice: &Notice) -> String {
    let summary = &notice.summary;
    let subject = format!("dayfly: {} done, {} given up: {}", summary.done, summary.failed, summary.job);
    let subject: String = subject.chars().filter(char::is_ascii).take(SUBJECT_MAX).collect();
    // Plain data with text keys: serialising it cannot fail.
    let message = serde_json::to_string(notice).unwrap_or_default();
    let field = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!(
        "Action=Publish&Version={VERSION}&TopicArn={}&Subject={}&Message={}",
        field(topic),
        field(&subject),
        field(&message)
    )
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn an_error_is_told_without_the_url() {
        let url = "https://hooks.example:8443/T0/B0/a-secret?token=another-secret#third-secret";
        let told = without(url, format!("no answer: connecting to {url}, path /T0/B0/a-secret: refused"));
        assert!(!told.contains("secret") && !told.contains("hooks") && told.ends_with(": refused"), "{told}");
    }
}
