//! What a run came to: a table for people, JSON for programs.

use super::{histogram::Histogram, meter::Part};
use serde_json::{Map, Value, json};

/// The table: a line per figure, a column per part, and the ratio if there are the server and the limit.
pub(crate) fn table(parts: &[Part]) -> String {
    let mut lines = vec![row("", parts.iter().map(|part| part.name.clone()))];
    let compare = parts.len() == 2 && parts.get(1).is_some_and(|part| part.name == "limit");
    for (name, unit, value) in FIGURES {
        let values: Vec<Option<f64>> = parts.iter().map(value).collect();
        if values.iter().all(Option::is_none) {
            continue;
        }
        let mut line = row(
            &format!("{name}{}{unit}", if unit.is_empty() { "" } else { ", " }),
            values
                .iter()
                .map(|value| value.map_or_else(|| "-".to_owned(), number)),
        );
        if let ([Some(server), Some(limit)], true, true) = (values.as_slice(), compare, !unit.is_empty())
            && *limit > 0.0
        {
            line.push_str(&format!("   × {:.2}", server / limit));
        }
        lines.push(line);
    }
    let notes: Vec<_> = parts.iter().flat_map(notes).collect();
    let width = notes
        .iter()
        .map(|(label, _)| label.chars().count())
        .max()
        .unwrap_or(0);
    for (label, value) in notes {
        lines.push(format!("{label:<width$} {value:>12}"));
    }
    for part in parts {
        let threads = shares(part);
        if threads.len() > 1 {
            let shares: Vec<_> = threads
                .iter()
                .map(|(name, share)| format!("{name} {share:.0} %"))
                .collect();
            lines.push(format!(
                "{}: CPU time by thread: {}",
                part.name,
                shares.join(", ")
            ));
        }
    }
    lines.join("\n")
}

/// What only this part has, in the order in which it was noted, and what went wrong.
fn notes(part: &Part) -> Vec<(String, String)> {
    let more = part.more.iter().map(|(name, value, unit)| {
        let comma = if unit.is_empty() { "" } else { ", " };
        (format!("{}: {name}{comma}{unit}", part.name), number(*value))
    });
    let errors = part.meter.errors.iter();
    let errors = errors.map(|(what, &count)| (format!("{}: {what}", part.name), number(count as f64)));
    more.chain(errors).collect()
}

/// Everything.
pub(crate) fn json(scenario: &str, parameters: &Value, parts: &[Part]) -> Value {
    let parts: Vec<Value> = parts.iter().map(part_json).collect();
    json!({ "scenario": scenario, "parameters": parameters, "parts": parts })
}

fn part_json(part: &Part) -> Value {
    let mut figures = Map::new();
    for (name, unit, value) in FIGURES {
        if let Some(value) = value(part) {
            let key = format!("{name} {unit}");
            figures.insert(key.trim().to_owned(), json!(value));
        }
    }
    let more: Map<_, _> = part
        .more
        .iter()
        .map(|(name, value, unit)| (format!("{name} {unit}").trim().to_owned(), json!(value)))
        .collect();
    let ticks: Vec<_> = part
        .meter
        .ticks()
        .iter()
        .map(|tick| json!({ "seconds": tick.at, "rate": tick.rate, "p50": tick.p50, "p99": tick.p99, "memory": tick.memory }))
        .collect();
    json!({
        "name": part.name,
        "figures": figures,
        "more": more,
        "errors": part.meter.errors,
        "responseMicros": part.meter.response.json(),
        "deliveryMicros": part.meter.delivery.json(),
        "completeMicros": part.meter.complete.json(),
        "threads": shares(part).into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "ticks": ticks,
    })
}

/// Name, unit, value. What has no unit is a count of mistakes.
type Figure = (&'static str, &'static str, fn(&Part) -> Option<f64>);

const FIGURES: &[Figure] = &[
    ("time", "s", |part| Some(part.seconds)),
    ("responses", "/s", |part| rate(part, part.meter.response.count())),
    ("response p50", "µs", |part| quantile(&part.meter.response, 0.5)),
    ("response p99", "µs", |part| quantile(&part.meter.response, 0.99)),
    ("response p99.9", "µs", |part| {
        quantile(&part.meter.response, 0.999)
    }),
    ("response max", "µs", |part| quantile(&part.meter.response, 1.0)),
    ("deliveries", "/s", |part| rate(part, part.meter.delivery.count())),
    ("delivery p50", "µs", |part| quantile(&part.meter.delivery, 0.5)),
    ("delivery p99", "µs", |part| quantile(&part.meter.delivery, 0.99)),
    ("delivery p99.9", "µs", |part| {
        quantile(&part.meter.delivery, 0.999)
    }),
    ("delivery max", "µs", |part| quantile(&part.meter.delivery, 1.0)),
    ("last member p50", "µs", |part| {
        quantile(&part.meter.complete, 0.5)
    }),
    ("last member p99", "µs", |part| {
        quantile(&part.meter.complete, 0.99)
    }),
    ("said late by, p99", "µs", |part| {
        quantile(&part.meter.late, 0.99)
    }),
    ("heartbeats answered", "/s", |part| {
        rate(part, part.meter.beat.count())
    }),
    ("heartbeat p99", "µs", |part| quantile(&part.meter.beat, 0.99)),
    ("lost", "", |part| counted(part, part.meter.lost())),
    ("cut off by a close", "", |part| {
        (part.meter.cut_off > 0).then_some(part.meter.cut_off as f64)
    }),
    ("repeated", "", |part| counted(part, part.meter.repeated)),
    ("out of order", "", |part| counted(part, part.meter.disordered)),
    ("server CPU", "cores", |part| {
        let cpu = part.usage.cpu()?;
        (part.seconds > 0.0).then(|| cpu as f64 / 1e9 / part.seconds)
    }),
    // At 1 a server does no more, however idle the machine is.
    ("server CPU, the busiest thread", "cores", |part| {
        let cpu = part.usage.busiest_thread()?;
        (part.seconds > 0.0).then(|| cpu as f64 / 1e9 / part.seconds)
    }),
    ("CPU per response", "µs", |part| {
        // Where messages go to many, their cost is that of the deliveries.
        let count = part.meter.response.count();
        part.cpu_per(count).filter(|_| part.meter.delivery.count() == 0)
    }),
    ("CPU per delivery", "µs", |part| {
        part.cpu_per(part.meter.delivery.count())
    }),
    ("bench CPU", "cores", |part| {
        (part.own_cpu > 0 && part.seconds > 0.0).then(|| part.own_cpu as f64 / 1e9 / part.seconds)
    }),
    // Nothing here runs meanwhile, so one per cent of it may be all of a p99.
    ("taken by the machine's host (steal)", "%", |part| {
        let (stolen, all) = part.stolen;
        (stolen > 0).then(|| stolen as f64 * 100.0 / all.max(1) as f64)
    }),
    ("server memory", "MiB", |part| mebibytes(part.memory)),
    ("server memory, peak", "MiB", |part| mebibytes(part.meter.peak)),
    ("server writes per delivery", "(write, writev)", |part| {
        let (writes, count) = (part.usage.writes?, part.meter.delivery.count());
        let each = writes as f64 / count.max(1) as f64;
        // Next to nothing: it writes with `send`, which nobody counts.
        (count > 0 && each > 0.005).then_some(each)
    }),
    ("deliveries per read", "of the bench", |part| {
        let count = part.meter.delivery.count();
        (part.reads > 0 && count > 0).then(|| count as f64 / part.reads as f64)
    }),
];

fn mebibytes(bytes: Option<u64>) -> Option<f64> {
    Some(bytes? as f64 / 1_048_576.0)
}

fn rate(part: &Part, count: u64) -> Option<f64> {
    (count > 0 && part.seconds > 0.0).then(|| count as f64 / part.seconds)
}

fn quantile(histogram: &Histogram, share: f64) -> Option<f64> {
    (histogram.count() > 0).then(|| histogram.quantile(share) as f64 / 1000.0)
}

fn counted(part: &Part, count: u64) -> Option<f64> {
    (part.meter.expected > 0).then_some(count as f64)
}

/// How the CPU time divides, in percent, without what is below 1 %.
fn shares(part: &Part) -> Vec<(String, f64)> {
    let all = part.usage.cpu().unwrap_or(0).max(1) as f64;
    let threads = part.usage.busiest().into_iter();
    threads
        .map(|(name, nanos)| (name, nanos as f64 * 100.0 / all))
        .filter(|(_, share)| *share >= 1.0)
        .collect()
}

fn row(name: &str, values: impl IntoIterator<Item = String>) -> String {
    let values: String = values.into_iter().map(|value| format!(" {value:>14}")).collect();
    format!("{name:<44}{values}")
}

/// Three places that count, thousands apart.
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        return grouped;
    }
    let places = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let cases = [
            (0.0, "0"),
            (0.171, "0.17"),
            (12.34, "12.3"),
            (999.5, "1000"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_table_with_a_ratio() {
        let mut parts = [Part::new("server"), Part::new("limit")];
        for (part, seconds) in parts.iter_mut().zip([1.0, 2.0]) {
            part.seconds = seconds;
            part.meter.expected = 10;
            (0..10).for_each(|_| part.meter.deliver(2000));
        }
        parts[0].note("join", 1.5, "µs");
        parts[0].meter.fail("429");
        let table = table(&parts);
        let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("deliveries, /s").ends_with("× 2.00"), "{table}");
        assert!(
            line("lost").ends_with('1') || line("lost").ends_with("10"),
            "{table}"
        );
        assert!(line("server: join, µs").ends_with("1.50"), "{table}");
        assert!(line("server: 429").ends_with('1'), "{table}");
        assert!(!table.contains("response"), "{table}");
        let json = json("fanout", &json!({ "rooms": 1 }), &parts);
        assert_eq!(json["parts"][1]["deliveryMicros"]["count"], 10);
    }
}
