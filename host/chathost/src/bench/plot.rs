//! The picture of a run: deliveries (or responses) per second, their times, and the server's memory, over time. SVG,
//! written by hand. Parts lie over each other, each from its own begin.

use super::{
    meter::{Part, Tick},
    report::number,
};
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 30.0;
/// Of all charts together with what is above them.
const TOP: f64 = 78.0;
const HEIGHT: f64 = 200.0;
const GAP: f64 = 60.0;
const COLOURS: [&str; 6] = ["#1f6feb", "#d1242f", "#2da44e", "#8250df", "#bf8700", "#57606a"];

/// What a chart shows.
struct Chart {
    name: &'static str,
    curves: &'static [Curve],
    /// Times differ by powers of ten.
    decades: bool,
}

/// What it shows, and how it is dashed.
type Curve = (fn(&Tick) -> Option<f64>, &'static str);

const CHARTS: [Chart; 3] = [
    Chart {
        name: "per second",
        curves: &[(|tick| Some(tick.rate), "none")],
        decades: false,
    },
    Chart {
        name: "time: median, and p99 dashed",
        curves: &[
            (|tick| Some(tick.p50).filter(|&time| time > 0.0), "none"),
            (|tick| Some(tick.p99).filter(|&time| time > 0.0), "5 3"),
        ],
        decades: true,
    },
    Chart {
        name: "memory of the server, MiB",
        curves: &[(|tick| Some(tick.memory? as f64 / 1_048_576.0), "none")],
        decades: false,
    },
];

/// One axis: its ends, and where it has lines.
struct Axis {
    low: f64,
    high: f64,
    lines: Vec<(f64, String)>,
}

/// One SVG with every part that has at least two points.
pub(crate) fn svg(title: &str, parts: &[Part]) -> String {
    let parts: Vec<&Part> = parts.iter().filter(|part| part.meter.ticks().len() > 1).collect();
    let end = values(&parts, |tick| Some(tick.at)).fold(0.0, f64::max);
    let shows_something = |chart: &&Chart| {
        let curves = chart.curves.iter();
        curves
            .map(|(value, _)| values(&parts, *value).count())
            .sum::<usize>()
            > 0
    };
    let charts: Vec<_> = CHARTS.iter().filter(shows_something).collect();
    let height = TOP + charts.len() as f64 * (HEIGHT + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"14\">{}</text>\n",
        escape(title)
    );
    legend(&mut svg, &parts);
    let time = linear(end);
    for (which, chart) in charts.into_iter().enumerate() {
        let top = TOP + which as f64 * (HEIGHT + GAP);
        draw(&mut svg, top, chart, &time, &parts);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, parts: &[&Part]) {
    let mut left = 16.0;
    for (part, colour) in parts.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"46\" fill=\"{colour}\">● {}</text>",
            escape(&part.name)
        );
        left += 40.0 + 7.0 * part.name.chars().count() as f64;
    }
}

fn draw(svg: &mut String, top: f64, chart: &Chart, time: &Axis, parts: &[&Part]) {
    let all = || chart.curves.iter().flat_map(|(value, _)| values(parts, *value));
    let axis = if chart.decades {
        decades(all())
    } else {
        linear(all().fold(0.0, f64::max))
    };
    let (bottom, right) = (top + HEIGHT, WIDTH - RIGHT);
    let x = |at: f64| LEFT + time.share(at) * (right - LEFT);
    let scale = |value: f64| if chart.decades { value.log10() } else { value };
    let y = |value: f64| bottom - axis.share(scale(value)) * HEIGHT;
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" fill=\"#57606a\">{}</text>",
        top - 8.0,
        chart.name
    );
    for (value, label) in &axis.lines {
        let height = bottom - axis.share(*value) * HEIGHT;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{height:.1}\" y2=\"{height:.1}\" stroke=\"#d0d7de\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 8.0,
            height + 4.0
        );
    }
    for (at, label) in &time.lines {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label} s</text>",
            x(*at),
            bottom + 18.0
        );
    }
    for (part, colour) in parts.iter().zip(COLOURS.iter().cycle()) {
        for (value, dashes) in chart.curves {
            let points = part
                .meter
                .ticks()
                .iter()
                .filter_map(|tick| Some((tick.at, value(tick)?)));
            let points = points.fold(String::new(), |mut points, (at, value)| {
                let _ = write!(points, "{:.1},{:.1} ", x(at), y(value));
                points
            });
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dashes}\" \
                 points=\"{points}\"/>"
            );
        }
    }
}

impl Axis {
    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// From 0 to at least `high`, in steps of 1, 2 or 5.
fn linear(high: f64) -> Axis {
    let step = (high / 4.0).max(1e-3);
    let power = 10_f64.powf(step.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|nice| nice * power >= step * 0.999);
    let step = power * nice.unwrap_or(10.0);
    let steps = (high / step).ceil().max(1.0);
    let line = |number_of: u32| (step * f64::from(number_of), number(step * f64::from(number_of)));
    Axis {
        low: 0.0,
        high: step * steps,
        lines: (0..=steps as u32).map(line).collect(),
    }
}

/// The powers of ten around these microseconds.
fn decades(micros: impl Iterator<Item = f64>) -> Axis {
    let (low, high) = micros.fold((f64::MAX, 1.0), |(low, high), value| {
        (value.min(low), value.max(high))
    });
    let low = low.clamp(0.1, high).log10().floor();
    let high = high.log10().ceil().max(low + 1.0);
    let line = |power: i32| {
        let micros = 10_f64.powi(power);
        let label = match power {
            6.. => format!("{} s", number(micros / 1e6)),
            3.. => format!("{} ms", number(micros / 1e3)),
            _ => format!("{} µs", number(micros)),
        };
        (f64::from(power), label)
    };
    Axis {
        low,
        high,
        lines: (low as i32..=high as i32).map(line).collect(),
    }
}

fn values<'a>(
    parts: &'a [&Part],
    value: impl Fn(&Tick) -> Option<f64> + 'a,
) -> impl Iterator<Item = f64> + 'a {
    let ticks = parts.iter().flat_map(|part| part.meter.ticks());
    ticks.filter_map(value)
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
        let picture = svg("a & b", &[part, Part::new("empty")]);
        assert_eq!(picture.matches("<polyline").count(), 3);
        assert!(picture.contains("a &amp; b") && picture.contains("server &lt;1>"));
        assert!(!picture.contains("memory") && !picture.contains("empty"));
        let nothing = svg("", &[]);
        assert!(
            ![picture, nothing]
                .iter()
                .any(|it| it.contains("NaN") || it.contains("inf"))
        );
    }

    #[test]
    fn axes() {
        let labels = |axis: &Axis| {
            let labels = axis.lines.iter().map(|(_, label)| label.as_str());
            labels.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(&linear(37.0)), "0 10.0 20.0 30.0 40.0".replace(".0", ""));
        assert_eq!(labels(&linear(2_260_570.0)), "0 1,000,000 2,000,000 3,000,000");
        assert_eq!(labels(&linear(1.1)), "0 0.50 1 1.50");
        assert!(linear(0.0).high > 0.0);
        let times = decades([80.0, 12_000.0, 3e6].into_iter());
        assert_eq!(labels(&times), "10 µs 100 µs 1 ms 10 ms 100 ms 1 s 10 s");
        assert!(decades(std::iter::empty()).high > 0.0);
    }
}
