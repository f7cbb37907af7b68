//! Who tells that a job is over: `sns:Publish` (SNS API reference, "Publish"), and a POST to a webhook.

use std::sync::Arc;

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Account, Answer, Http, Service, Vault};
use crate::notice::{Address, Herald, Notice, Untold, check_url};
use crate::secret::{NoSecret, Secrets as _};

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
}

impl Heralds {
    /// With this account's credentials where a topic or a secret asks for any.
    pub fn new(account: Arc<Account>, vault: Arc<Vault>) -> Self {
        let http = Http::new(Arc::clone(account.clock()));
        Self { account, vault, http }
    }

    async fn publish(&self, arn: &str, region: Option<&str>, notice: &Notice) -> Result<(), Untold> {
        let about = |why: String| format!("sns:Publish {arn}: {why}");
        let services = self.account.services().await.map_err(|why| Untold { why: about(why), is_final: true })?;
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let region = region.unwrap_or(services.region()).to_owned();
        let answer = services.post_in(&region, SNS, &headers, body(arn, notice)).await;
        judge(answer).map_err(|untold| Untold { why: about(untold.why), ..untold })
    }

    async fn post(&self, url: &str, notice: &Notice) -> Result<(), Untold> {
        check_url(url).map_err(|e| Untold { why: e.to_string(), is_final: true })?;
        // Plain data with text keys: serialising it cannot fail.
        let body = serde_json::to_string(notice).unwrap_or_default();
        let headers = [("content-type", "application/json".to_owned()), ("user-agent", AGENT.to_owned())];
        judge(self.http.post(url, headers, body).await)
    }
}

const AGENT: &str = concat!("dayfly/", env!("CARGO_PKG_VERSION"));

#[async_trait]
impl Herald for Heralds {
    async fn tell(&self, to: &Address, notice: &Notice) -> Result<(), Untold> {
        match to {
            Address::Topic(arn) => self.publish(arn, to.region(), notice).await,
            Address::Webhook(url) => self.post(url, notice).await,
            Address::SecretWebhook(name) => {
                let url = self.vault.fetch(name).await.map_err(|error| Untold {
                    is_final: matches!(error, NoSecret::Refused(_)),
                    why: error.to_string(),
                })?;
                // A last newline is what editors leave.
                self.post(url.trim(), notice).await
            }
        }
    }
}

/// What an answer means. A service that is too busy, or broken, may not be so in a moment.
fn judge(answer: Result<Answer, String>) -> Result<(), Untold> {
    let answer = answer.map_err(|why| Untold { why, is_final: false })?;
    match answer.status {
        200..=299 => Ok(()),
        status => {
            let words: String = answer.body.chars().filter(|c| !c.is_control()).take(300).collect();
            let is_final = (300..500).contains(&status) && !matches!(status, 408 | 425 | 429);
            Err(Untold { why: format!("HTTP {status} {words}"), is_final })
        }
    }
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
