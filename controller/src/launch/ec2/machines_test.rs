use std::collections::BTreeMap;

use dayfly_shared::ids::Nonce;
use dayfly_shared::launch::{Blueprint, Request, Template};

use super::*;

fn asked(count: u32, market: Market) -> Launch {
    Launch {
        schema: 1,
        id: Nonce(7),
        client_token: "dayfly-7-1".to_owned(),
        by: "me".to_owned(),
        at: Timestamp::default(),
        request: Request {
            count,
            on_demand_base: 0,
            market,
            maintain: false,
            template: Template {
                id: "lt-1".to_owned(),
                version: "2".to_owned(),
                image: "ami-1".to_owned(),
                architecture: "x86_64".to_owned(),
            },
            instance_types: vec!["c7i.large".to_owned()],
            machine: Blueprint::default(),
            needs: None,
            subnets: vec!["subnet-1".to_owned()],
            max_price: None,
            public_addresses: None,
            tags: BTreeMap::new(),
        },
        max_cost: None,
        outcome: None,
    }
}

fn came(instances: usize, code: &str, message: &str) -> Outcome {
    let instance = |n: usize| Launched {
        id: format!("i-{n}"),
        instance_type: "c7i.large".to_owned(),
        zone: None,
        market: Market::Spot,
    };
    let errors = match code {
        "" => Vec::new(),
        _ => vec![LaunchError { code: code.to_owned(), message: message.to_owned(), pools: Vec::new() }],
    };
    Outcome { instances: (0..instances).map(instance).collect(), errors, ..Outcome::default() }
}

fn then(launch: &Launch, outcome: &Outcome, patient: bool) -> Option<(u32, Market)> {
    next(launch, outcome, patient, Timestamp::default()).map(|next| (next.request.count, next.request.market))
}

#[test]
fn what_spot_lacks_is_asked_on_demand() {
    let spot = asked(50, Market::Spot);
    let lacking = came(40, "InsufficientInstanceCapacity", "no capacity");
    assert_eq!(then(&spot, &lacking, true), Some((10, Market::OnDemand)));
    assert_eq!(then(&spot, &came(50, "", ""), true), None);
    // On demand there is nothing to fall back to, and a limit is the account's, not spot's.
    assert_eq!(then(&asked(50, Market::OnDemand), &lacking, true), None);
    assert_eq!(then(&spot, &came(40, "UnauthorizedOperation", "no"), true), None);
    let mut capped = asked(50, Market::Spot);
    capped.request.max_price = Some("0.1".to_owned());
    assert_eq!(then(&capped, &lacking, true), None, "a price that may not be passed is not passed on demand");
    let mut maintained = asked(50, Market::Spot);
    maintained.request.maintain = true;
    assert_eq!(then(&maintained, &lacking, true), None);
}

#[test]
fn a_profile_that_is_not_visible_yet_is_asked_for_again_for_a_time() {
    let spot = asked(5, Market::Spot);
    let unseen = came(
        0,
        "InvalidParameterValue",
        "Value (p) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
    );
    assert_eq!(then(&spot, &unseen, true), Some((5, Market::Spot)));
    assert_eq!(then(&spot, &unseen, false), None);
}

#[test]
fn the_last_request_decides_whether_a_launch_is_open() {
    let mut launch = asked(5, Market::Spot);
    assert!(launch.is_open());
    let further = plan::further(&launch, 2, Market::OnDemand, Timestamp::default());
    launch.outcome = Some(Outcome { fallback: Some(Box::new(further)), ..came(3, "InsufficientInstanceCapacity", "") });
    assert!(launch.is_open());
    launch.last_mut().outcome = Some(came(2, "", ""));
    assert!(!launch.is_open());
    assert_eq!(launch.requests().len(), 2);
}
