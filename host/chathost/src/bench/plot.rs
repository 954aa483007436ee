//! The picture of a run: deliveries (or responses) per second above, their times below, over time. SVG, written by hand.

use super::meter::{Part, Tick};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const HEIGHT: f64 = 200.0;
const GAP: f64 = 60.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#d1242f", "#2da44e", "#8250df"];

/// One SVG with every part that has at least two points.
pub(crate) fn svg(title: &str, parts: &[Part]) -> String {
    let parts: Vec<&Part> = parts.iter().filter(|part| part.meter.ticks().len() > 1).collect();
    let end = greatest(&parts, |tick| tick.at);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n",
        2.0 * HEIGHT + 2.0 * GAP + 20.0,
        escape(title)
    );
    let charts: [(&str, &[Curve]); 2] = [
        ("per second", &[("", |tick| tick.rate, "")]),
        (
            "microseconds",
            &[("p50", |tick| tick.p50, ""), ("p99", |tick| tick.p99, "5 3")],
        ),
    ];
    for (which, (unit, curves)) in charts.into_iter().enumerate() {
        let top = 40.0 + which as f64 * (HEIGHT + GAP);
        chart(&mut svg, top, unit, end, &parts, curves);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Its name, what it shows, how it is dashed.
type Curve = (&'static str, fn(&Tick) -> f64, &'static str);

fn chart(svg: &mut String, top: f64, unit: &str, end: f64, parts: &[&Part], curves: &[Curve]) {
    let high = curves
        .iter()
        .map(|(_, value, _)| greatest(parts, value))
        .fold(1e-9, f64::max);
    let bottom = top + HEIGHT;
    let right = WIDTH - RIGHT;
    let x = |at: f64| LEFT + at / end.max(1e-9) * (right - LEFT);
    let y = |value: f64| bottom - value / high * HEIGHT;
    for quarter in 0..=4 {
        let (value, at) = (high * f64::from(quarter) / 4.0, end * f64::from(quarter) / 4.0);
        let (height, place) = (y(value), x(at));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{height:.1}\" y2=\"{height:.1}\" stroke=\"#d0d7de\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>\
             <text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{at:.1} s</text>",
            LEFT - 6.0,
            height + 4.0,
            bottom + 16.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" fill=\"#57606a\">{unit}</text>",
        top - 6.0
    );
    let mut legend = LEFT + 110.0;
    for (part, colour) in parts.iter().zip(COLOURS.iter().cycle()) {
        for (name, value, dashes) in curves {
            let points = part.meter.ticks().iter().fold(String::new(), |mut points, tick| {
                let _ = write!(points, "{:.1},{:.1} ", x(tick.at), y(value(tick)));
                points
            });
            let label = escape(format!("{} {name}", part.name).trim());
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dashes}\" \
                 points=\"{points}\"/>\n<text x=\"{legend}\" y=\"{}\" fill=\"{colour}\">{label}</text>",
                top - 6.0
            );
            legend += 110.0;
        }
    }
}

fn greatest(parts: &[&Part], value: impl Fn(&Tick) -> f64) -> f64 {
    let ticks = parts.iter().flat_map(|part| part.meter.ticks());
    ticks.map(value).fold(0.0, f64::max)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_per_part_and_chart() {
        let mut part = Part::new("server <1>");
        for tick in 1..=4_u64 {
            part.meter.deliver(1000 * tick);
            part.meter.tick("", tick * 300_000_000, 0.0);
        }
        let svg = svg("a & b", &[part, Part::new("empty")]);
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert!(svg.contains("a &amp; b") && svg.contains("server &lt;1> p99"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
