//! `ec2:DeleteFleets`, by EC2's Query API (EC2 API reference, "DeleteFleets").

use std::sync::Arc;

use async_trait::async_trait;
use dayfly_shared::ids::Nonce;
use dayfly_shared::services::{Answer, Service, Services};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::driver::FleetSwitch;

const EC2: Service = Service { name: "ec2", variable: "AWS_ENDPOINT_URL_EC2" };

/// The version of the API that this is written from.
const VERSION: &str = "2016-11-15";

/// The fleet of a launch.
pub struct Ec2Fleet {
    services: Arc<Services>,
    launch: Nonce,
}

impl Ec2Fleet {
    /// Of this launch.
    pub fn new(services: Arc<Services>, launch: Nonce) -> Self {
        Self { services, launch }
    }
}

#[async_trait]
impl FleetSwitch for Ec2Fleet {
    fn launch(&self) -> Nonce {
        self.launch
    }

    async fn shut_off(&self, fleet: &str) -> Result<(), String> {
        let id = utf8_percent_encode(fleet, NON_ALPHANUMERIC);
        let body = format!("Action=DeleteFleets&Version={VERSION}&FleetId.1={id}&TerminateInstances=false");
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let answer = self.services.post(EC2, &headers, body).await;
        judge(&answer.map_err(|e| format!("ec2:DeleteFleets {fleet}: {e}"))?)
            .map_err(|why| format!("ec2:DeleteFleets {fleet}: {why}"))
    }
}

/// What an answer means. Several agents may do this: a fleet that is gone, or no longer in a state to be deleted, is as
/// good as deleted.
fn judge(answer: &Answer) -> Result<(), String> {
    let body = &answer.body;
    let refused = match answer.status {
        200 => within(body, "unsuccessfulFleetDeletionSet").filter(|set| set.contains("<code>")),
        _ => Some(body.as_str()),
    };
    let Some(refused) = refused else { return Ok(()) };
    let code = within(refused, "code").or_else(|| within(refused, "Code")).unwrap_or("no code").trim();
    if matches!(code, "fleetIdDoesNotExist" | "fleetNotInDeletableState" | "InvalidFleetId.NotFound") {
        return Ok(());
    }
    let message = within(refused, "message").or_else(|| within(refused, "Message")).unwrap_or_default().trim();
    Err(format!("{code}: {message} (HTTP {})", answer.status))
}

/// The text between the first tag of this name and its end.
fn within<'a>(xml: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    Some(rest.split_once(&format!("</{tag}>"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.to_owned() }
    }

    fn unsuccessful(code: &str) -> Answer {
        answer(
            200,
            &format!(
                "<DeleteFleetsResponse><successfulFleetDeletionSet/><unsuccessfulFleetDeletionSet><item><error>\
                 <code>{code}</code><message>why not</message></error><fleetId>fleet-1</fleetId></item>\
                 </unsuccessfulFleetDeletionSet></DeleteFleetsResponse>"
            ),
        )
    }

    #[test]
    fn a_deleted_fleet_is_a_success_whoever_deleted_it() {
        let first = "<DeleteFleetsResponse><successfulFleetDeletionSet><item><currentFleetState>deleted_running\
                     </currentFleetState><fleetId>fleet-1</fleetId></item></successfulFleetDeletionSet>\
                     <unsuccessfulFleetDeletionSet/></DeleteFleetsResponse>";
        assert_eq!(judge(&answer(200, first)), Ok(()));
        assert_eq!(judge(&unsuccessful("fleetNotInDeletableState")), Ok(()));
        assert_eq!(judge(&unsuccessful("fleetIdDoesNotExist")), Ok(()));
    }

    #[test]
    fn a_refusal_says_its_code_and_words() {
        assert_eq!(judge(&unsuccessful("unexpectedError")), Err("unexpectedError: why not (HTTP 200)".to_owned()));
        let denied = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized\
                      </Message></Error></Errors></Response>";
        let said = judge(&answer(403, denied)).unwrap_err();
        assert_eq!(said, "UnauthorizedOperation: You are not authorized (HTTP 403)");
        assert!(judge(&answer(503, "")).is_err());
    }
}
