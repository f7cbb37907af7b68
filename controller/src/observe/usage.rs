//! What programs used of their machines, held against what those have.

use std::fmt;

use dayfly_shared::records::UsageTotals;
use serde::Serialize;

use super::AgentNow;
use crate::human;

/// What is kept free beside the largest task seen: the next may be a quarter larger.
const SPARE: f64 = 1.25;
/// The system's and the agent's own part of a machine's memory: some 200 MB in the image, and its uploads.
const SYSTEM_BYTES: u64 = 512 << 20;
/// Fewer attempts than this say too little of the others.
const ENOUGH: u64 = 3;
/// Of a slot's processor, less than a third used or more than half again is worth a word.
const IDLE: f64 = 0.33;
const BUSY: f64 = 1.5;
/// Memory of a core in EC2's families c, m and r (EC2 instance types guide): what a type can be chosen by.
const FAMILIES: [(u64, &str); 3] = [(2, "c"), (4, "m"), (8, "r")];

/// What programs used, and which machines would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageNow {
    /// The figures.
    #[serde(flatten)]
    pub totals: UsageTotals,
    /// What they suggest, a sentence each; empty where the machines fit, or too little is known.
    pub advice: Vec<String>,
}

/// A machine, as its agent's record has it.
#[derive(Clone, Copy)]
struct Shape {
    cores: u32,
    memory_bytes: u64,
    slots: u32,
    /// Whether another could be taken in its place.
    on_ec2: bool,
}

impl UsageNow {
    /// Of the machines of these agents the one with the least memory for a task counts: there it gets tight first.
    pub(super) fn of(totals: UsageTotals, agents: &[AgentNow]) -> Self {
        let shapes = agents.iter().filter_map(|agent| {
            let (cores, memory_bytes) = (agent.cores?, agent.machine_memory_bytes?);
            let on_ec2 = agent.instance_type.is_some();
            Some(Shape { cores, memory_bytes, slots: agent.slots, on_ec2 }).filter(|s| s.cores > 0 && s.slots > 0)
        });
        let tightest = shapes.min_by_key(|shape| shape.memory_bytes / u64::from(shape.slots));
        let advice = tightest.filter(|_| totals.attempts >= ENOUGH).map_or_else(Vec::new, |s| advice(&totals, s));
        Self { totals, advice }
    }
}

fn advice(totals: &UsageTotals, shape: Shape) -> Vec<String> {
    let mut lines = Vec::new();
    if totals.peak_memory_bytes == 0 {
        // Programs that were over before their memory was looked at say nothing of what a machine needs.
        return lines;
    }
    let Shape { cores, memory_bytes, slots, on_ec2 } = shape;
    let peak = totals.peak_memory_bytes as f64;
    let needed = (peak * SPARE) as u64 * u64::from(slots) + SYSTEM_BYTES;
    let rule = format!(
        "({} at once, {} each and a quarter more, beside {} for the system)",
        human::count(slots.into(), "task"),
        human::bytes(totals.peak_memory_bytes),
        human::bytes(SYSTEM_BYTES)
    );
    let per_core = |bytes: u64| (bytes as f64 / f64::from(1 << 30) / f64::from(cores)).ceil() as u64;
    let family = FAMILIES.iter().find(|(gib, _)| *gib >= per_core(needed));
    let have = human::bytes(memory_bytes);
    match family {
        _ if needed > memory_bytes => {
            let larger = family.map_or("fewer slots".to_owned(), |(gib, name)| {
                format!("{gib} GiB a core (family {name}), or fewer slots")
            });
            lines.push(format!("memory is tight: {} of {have} {rule}; take {larger}", human::bytes(needed)));
        }
        // A machine's kernel keeps some of its memory, so half a GiB a core less is still the same family.
        Some((gib, name)) if on_ec2 && memory_bytes > u64::from(cores) * ((gib << 30) + (1 << 29)) => {
            lines.push(format!(
                "less memory would do: {} of {have} {rule}; {gib} GiB a core (family {name}) are enough",
                human::bytes(needed)
            ))
        }
        _ => {}
    }
    if totals.wall_ms > 0 {
        let busy = totals.cpu_ms as f64 / totals.wall_ms as f64;
        let of_a_slot = busy * f64::from(slots) / f64::from(cores);
        if of_a_slot < IDLE {
            let more = (f64::from(slots) / of_a_slot.max(0.05)).floor();
            // As many as the memory takes.
            let fit = memory_bytes.saturating_sub(SYSTEM_BYTES) as f64 / (peak * SPARE).max(1.0);
            let more = more.min(fit.floor()).min(f64::from(cores) * 8.0);
            if more > f64::from(slots) {
                lines.push(format!(
                    "processors are idle: a task keeps {busy:.2} of one busy, and {slots} run on {cores}; try --slots {more}"
                ));
            }
        } else if of_a_slot > BUSY {
            lines.push(format!(
                "processors are short: a task keeps {busy:.2} of one busy, and {slots} run on {cores}; try --slots {}",
                (f64::from(cores) / busy).floor().max(1.0)
            ));
        }
    }
    lines
}

impl fmt::Display for UsageNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UsageTotals { attempts, peak_memory_bytes, cpu_ms, wall_ms } = self.totals;
        match peak_memory_bytes {
            0 => write!(f, "memory not seen, programs were too short")?,
            peak => write!(f, "{} of memory at most by one attempt", human::bytes(peak))?,
        }
        write!(
            f,
            ", {} s of CPU in {} s by {}",
            human::thousands(cpu_ms / 1000),
            human::thousands(wall_ms / 1000),
            human::count(attempts, "attempt")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn said(peak: u64, cpu: u64, (cores, gib, slots): (u32, u64, u32)) -> String {
        let totals = UsageTotals { attempts: 10, peak_memory_bytes: peak, cpu_ms: cpu, wall_ms: 1000 };
        // What a kernel gives away is a little less than the machine has.
        advice(&totals, Shape { cores, memory_bytes: gib * GIB - (GIB >> 3), slots, on_ec2: true }).join("\n")
    }

    #[test]
    fn programs_too_short_to_be_measured_lead_to_no_advice() {
        assert_eq!(said(0, 10, (4, 64, 4)), "");
        let totals = UsageTotals { attempts: 10, peak_memory_bytes: 0, cpu_ms: 10, wall_ms: 1000 };
        let shown = UsageNow { totals, advice: Vec::new() }.to_string();
        assert!(shown.starts_with("memory not seen"), "{shown}");
    }

    #[test]
    fn a_machine_that_fits_gets_no_advice() {
        assert_eq!(said(GIB, 1000, (2, 4, 2)), "");
        assert_eq!(said(2 * GIB, 1000, (4, 16, 4)), "");
        assert_eq!(said(5 * GIB, 1000, (8, 64, 8)), "");
    }

    #[test]
    fn what_is_far_below_or_above_is_said_with_its_rule() {
        let less = said(GIB / 4, 1000, (4, 32, 4));
        assert!(less.contains("2 GiB a core (family c) are enough") && less.contains("a quarter more"), "{less}");
        let more = said(5 * GIB, 1000, (2, 4, 2));
        assert!(more.contains("tight") && more.contains("8 GiB a core (family r), or fewer slots"), "{more}");
        let huge = said(40 * GIB, 1000, (2, 16, 2));
        assert!(huge.contains("take fewer slots"), "{huge}");
    }

    #[test]
    fn a_machine_of_ones_own_is_not_exchanged() {
        let totals = UsageTotals { attempts: 10, peak_memory_bytes: GIB / 4, cpu_ms: 1000, wall_ms: 1000 };
        assert_eq!(advice(&totals, Shape { cores: 4, memory_bytes: 32 * GIB, slots: 4, on_ec2: false }), [""; 0]);
    }

    #[test]
    fn processors_that_idle_or_are_short_are_said_in_slots() {
        let idle = said(GIB / 4, 100, (4, 8, 4));
        assert!(idle.contains("try --slots 23"), "as many as the memory takes: {idle}");
        let short = said(GIB / 4, 4000, (4, 8, 4));
        assert!(short.contains("try --slots 1"), "{short}");
        assert_eq!(said(GIB / 4, 4000, (4, 8, 1)), "", "one task on four cores may use them all");
    }
}
