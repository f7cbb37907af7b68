//! Prices as AWS tells them: the Price List API for what has a list price, EC2 for spot.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::InstanceType;
use aws_sdk_pricing::types::{Filter, FilterType};
use aws_smithy_types::DateTime;
use dayfly_shared::clock::Timestamp;
use dayfly_shared::launch::Market;

use super::tariff::Tariff;
use crate::cloud::{Cloud, explain};
use crate::failure::{Failure, Result};

/// What spot prices are asked for; machines run Linux.
const PRODUCT: &str = "Linux/UNIX";
/// The usage type of what snapshots store (EBS pricing, "Understanding your bill": EBS:SnapshotUsage).
const SNAPSHOT_USAGE: &str = "EBS:SnapshotUsage";

/// Prices for these types and markets, spot prices since `from`. What could not be found out stays unknown; why, in words.
pub async fn tariff(
    cloud: &Cloud,
    wanted: &BTreeSet<(String, Market)>,
    from: Timestamp,
    now: Timestamp,
) -> (Tariff, Vec<String>) {
    let mut tariff = Tariff::default();
    let mut why = Vec::new();
    let mut note = |failure: Failure| why.push(format!("{failure:#}"));
    let of = |market| {
        let types = wanted.iter().filter(move |(_, m)| *m == market);
        types.map(|(name, _)| name.as_str()).collect::<Vec<_>>()
    };
    for kind in of(Market::OnDemand) {
        match on_demand(cloud, kind).await {
            Ok(Some(price)) => _ = tariff.on_demand.insert(kind.to_owned(), price),
            Ok(None) => {}
            Err(failure) => note(failure),
        }
    }
    let spot_types = of(Market::Spot);
    if !spot_types.is_empty() {
        match spot(cloud, &spot_types, from, now).await {
            Ok(prices) => tariff.spot = prices,
            Err(failure) => note(failure),
        }
    }
    let disk = listed(cloud, "AmazonEC2", &[("productFamily", "Storage"), ("volumeApiName", "gp3")]).await;
    // A request's price is listed for one.
    let puts = requests(cloud, "S3-API-Tier1").await.map(|p| p.map(|one| one * 1000.0));
    let gets = requests(cloud, "S3-API-Tier2").await.map(|p| p.map(|one| one * 1000.0));
    for (price, into) in [(disk, &mut tariff.disk_month), (puts, &mut tariff.puts), (gets, &mut tariff.gets)] {
        match price {
            Ok(price) => *into = price,
            Err(failure) => note(failure),
        }
    }
    why.sort();
    why.dedup();
    (tariff, why)
}

async fn requests(cloud: &Cloud, group: &str) -> Result<Option<f64>> {
    listed(cloud, "AmazonS3", &[("productFamily", "API Request"), ("group", group)]).await
}

async fn on_demand(cloud: &Cloud, kind: &str) -> Result<Option<f64>> {
    let filters = [
        ("instanceType", kind),
        ("operatingSystem", "Linux"),
        ("tenancy", "Shared"),
        ("preInstalledSw", "NA"),
        ("capacitystatus", "Used"),
    ];
    listed(cloud, "AmazonEC2", &filters).await
}

/// The price of a GiB in a snapshot for a month.
///
/// # Errors
/// The price list cannot be asked.
pub async fn snapshot_month(cloud: &Cloud) -> Result<Option<f64>> {
    let all = products(cloud, "AmazonEC2", &[("productFamily", "Storage Snapshot")]).await?;
    // Beside it: archives, and what is billed for them. The type has the region's short name before it, but in us-east-1.
    let is_it = |product: &&String| {
        let product: serde_json::Value = serde_json::from_str(product).unwrap_or_default();
        let kind = product.pointer("/product/attributes/usagetype").and_then(serde_json::Value::as_str);
        kind.is_some_and(|kind| kind == SNAPSHOT_USAGE || kind.ends_with(&format!("-{SNAPSHOT_USAGE}")))
    };
    Ok(all.iter().find(is_it).and_then(|product| dollars(product)))
}

/// The list price in dollars of the one product of the region that these filters leave.
async fn listed(cloud: &Cloud, service: &str, filters: &[(&str, &str)]) -> Result<Option<f64>> {
    Ok(products(cloud, service, filters).await?.iter().find_map(|product| dollars(product)))
}

/// The products of the region that these filters leave, each as JSON.
async fn products(cloud: &Cloud, service: &str, filters: &[(&str, &str)]) -> Result<Vec<String>> {
    let mut request = cloud.prices().get_products().service_code(service);
    for (field, value) in filters.iter().chain(&[("regionCode", cloud.region())]) {
        let filter = Filter::builder().r#type(FilterType::TermMatch).field(*field).value(*value).build();
        request = request.filters(filter.map_err(|e| Failure::new(format!("a filter of prices: {e}")))?);
    }
    let answer = request.send().await.map_err(|e| explain("pricing:GetProducts", service, &e))?;
    Ok(answer.price_list().to_vec())
}

/// The price on demand in a product of the Price List API ("Reading the service price list files": terms, OnDemand, then
/// price dimensions under codes of their own).
fn dollars(product: &str) -> Option<f64> {
    let product: serde_json::Value = serde_json::from_str(product).ok()?;
    let terms = product.get("terms")?.get("OnDemand")?.as_object()?;
    let dimensions = terms.values().filter_map(|term| term.get("priceDimensions")?.as_object());
    let prices = dimensions
        .flat_map(serde_json::Map::values)
        .filter_map(|dimension| dimension.get("pricePerUnit")?.get("USD")?.as_str()?.parse::<f64>().ok());
    // Free tiers are listed beside the price.
    prices.filter(|price| *price > 0.0).reduce(f64::max)
}

type SpotPrices = BTreeMap<(String, String), Vec<(Timestamp, f64)>>;

async fn spot(cloud: &Cloud, types: &[&str], from: Timestamp, now: Timestamp) -> Result<SpotPrices> {
    let moment = |at: Timestamp| DateTime::from_millis(i64::try_from(at.unix_ms).unwrap_or(i64::MAX));
    let pages = cloud.ec2().describe_spot_price_history().product_descriptions(PRODUCT);
    let types = types.iter().map(|kind| InstanceType::from(*kind)).collect();
    let pages = pages.set_instance_types(Some(types)).start_time(moment(from)).end_time(moment(now));
    let mut pages = pages.into_paginator().send();
    let mut prices = SpotPrices::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| explain("ec2:DescribeSpotPriceHistory", "spot prices", &e))?;
        for told in page.spot_price_history() {
            let (Some(kind), Some(zone)) = (told.instance_type(), told.availability_zone()) else { continue };
            let (Some(price), Some(at)) = (told.spot_price().and_then(|p| p.parse().ok()), told.timestamp()) else {
                continue;
            };
            let at = Timestamp::from_unix_ms(at.to_millis().ok().and_then(|ms| ms.try_into().ok()).unwrap_or(0));
            prices.entry((kind.as_str().to_owned(), zone.to_owned())).or_default().push((at, price));
        }
    }
    for history in prices.values_mut() {
        history.sort_by_key(|(at, _)| *at);
    }
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_is_found_under_its_codes() {
        let product = r#"{"product": {}, "terms": {"OnDemand": {"A.B": {"priceDimensions": {
            "A.B.C": {"unit": "Hrs", "pricePerUnit": {"USD": "0.0892500000"}},
            "A.B.D": {"unit": "Hrs", "pricePerUnit": {"USD": "0.0000000000"}}}}}}}"#;
        assert_eq!(dollars(product), Some(0.08925));
        assert_eq!(dollars("{}"), None);
        assert_eq!(dollars("not JSON"), None);
    }
}
