//! `sns:Publish`, by SNS's Query API (SNS API reference, "Publish").

use std::sync::Arc;

use async_trait::async_trait;
use dayfly_shared::records::Summary;
use dayfly_shared::services::{Service, Services};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::driver::Herald;

const SNS: Service = Service { name: "sns", variable: "AWS_ENDPOINT_URL_SNS" };

/// The version of the API that this is written from.
const VERSION: &str = "2010-03-31";

/// The longest subject (SNS API reference, Publish: less than 100 characters of ASCII, no line breaks).
const SUBJECT_MAX: usize = 99;

/// The topic that is told when a job is over.
pub struct Topic {
    services: Arc<Services>,
    arn: String,
}

impl Topic {
    /// By its ARN.
    pub fn new(services: Arc<Services>, arn: String) -> Self {
        Self { services, arn }
    }
}

#[async_trait]
impl Herald for Topic {
    async fn announce(&self, summary: &Summary) -> Result<(), String> {
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let answer = self.services.post(SNS, &headers, body(&self.arn, summary)).await;
        let answer = answer.map_err(|e| format!("sns:Publish {}: {e}", self.arn))?;
        match answer.status {
            200 => Ok(()),
            status => {
                let words: String = answer.body.chars().take(300).collect();
                Err(format!("sns:Publish {}: HTTP {status} {words}", self.arn))
            }
        }
    }
}

/// The subject for people, and the summary as `summary.json` has it for programs.
fn body(topic: &str, summary: &Summary) -> String {
    let subject = format!("dayfly: {} done, {} given up: {}", summary.done, summary.failed, summary.job);
    let subject: String = subject.chars().filter(char::is_ascii).take(SUBJECT_MAX).collect();
    // Plain data with text keys: serialising it cannot fail.
    let message = serde_json::to_string(summary).unwrap_or_default();
    let field = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!(
        "Action=Publish&Version={VERSION}&TopicArn={}&Subject={}&Message={}",
        field(topic),
        field(&subject),
        field(&message)
    )
}
