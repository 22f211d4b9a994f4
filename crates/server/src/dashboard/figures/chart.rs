//! Charts: bars for one figure of each run, a line for a figure over time.

use std::fmt;

use askama::filters::HtmlSafe;

use super::fit;
use crate::dashboard::parts::{Escaped, Tone};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 26.0;

/// How the figures are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A bar each, side by side.
    Bars,
    /// A line through them, at their places.
    Line,
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// Its place from left to right, in any unit; bars stand in their order.
    pub(crate) x: f64,
    /// The figure.
    pub(crate) y: f64,
    /// What it means, where it means something.
    pub(crate) tone: Tone,
    /// What it is of, and how much, for people: `3 min ago: 12.4 s, success`.
    pub(crate) label: String,
}

/// A chart.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// Unique on the page: letters, digits, `-`.
    pub(crate) name: String,
    /// What is shown.
    pub(crate) title: String,
    /// Bars or a line.
    pub(crate) form: Form,
    /// What stands at the left and the right end.
    pub(crate) ends: (String, String),
    /// The figures, from left to right.
    pub(crate) points: Vec<Point>,
    /// How a figure is written on the axis.
    pub(crate) written: fn(f64) -> String,
}

/// The upper end of an axis that ends evenly: 1, 2 or 5 times a power of ten.
fn even_end(highest: f64) -> f64 {
    if !highest.is_finite() || highest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|end| *end >= highest * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// A figure without needless digits.
pub(crate) fn plain(value: f64) -> String {
    let text = if value.abs() >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    };
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// Where things stand on the sheet.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        (HEIGHT - BOTTOM) - share * (HEIGHT - BOTTOM - TOP)
    }

    fn x(&self, value: f64) -> f64 {
        let width = WIDTH - LEFT - RIGHT;
        if self.to > self.from {
            LEFT + (value - self.from) / (self.to - self.from) * width
        } else {
            LEFT + width / 2.0
        }
    }
}

impl Chart {
    fn scale(&self) -> Scale {
        let over = |pick: fn(&Point) -> f64, join: fn(f64, f64) -> f64, first: f64| {
            self.points.iter().map(pick).fold(first, join)
        };
        let highest = over(|p| p.y, f64::max, 0.0);
        let lowest = over(|p| p.y, f64::min, 0.0);
        Scale {
            low: if lowest < 0.0 {
                -even_end(-lowest)
            } else {
                0.0
            },
            high: even_end(highest),
            from: over(|p| p.x, f64::min, f64::INFINITY),
            to: over(|p| p.x, f64::max, f64::NEG_INFINITY),
        }
    }

    fn axis(&self, scale: &Scale, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for share in [0.0, 0.5, 1.0] {
            let value = scale.low + (scale.high - scale.low) * share;
            let y = scale.y(value);
            write!(
                f,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                Escaped(&(self.written)(value))
            )?;
        }
        let y = HEIGHT - 6.0;
        if self.ends.0 == self.ends.1 {
            return write!(
                f,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                f64::midpoint(LEFT, WIDTH - RIGHT),
                Escaped(&fit(&self.ends.0, 40))
            );
        }
        write!(
            f,
            "<text class=\"tick\" x=\"{LEFT}\" y=\"{y}\">{}</text><text class=\"tick\" x=\"{:.1}\" y=\"{y}\" text-anchor=\"end\">{}</text>",
            Escaped(&fit(&self.ends.0, 40)),
            WIDTH - RIGHT,
            Escaped(&fit(&self.ends.1, 40))
        )
    }

    fn bars(&self, scale: &Scale, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "some hundred bars at most")]
        let slot = (WIDTH - LEFT - RIGHT) / self.points.len().max(12) as f64;
        let mut x = LEFT;
        for point in &self.points {
            let (top, base) = (scale.y(point.y), scale.y(0.0));
            let wide = (slot * 0.72).min(40.0);
            let left = x + (slot - wide) / 2.0;
            write!(
                f,
                "<g class=\"bar {}\"><title>{}</title><rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{:.1}\" rx=\"2\"/>",
                point.tone.class(),
                Escaped(&point.label),
                top.min(base - 2.0),
                (base - top).max(2.0)
            )?;
            if point.tone == Tone::Bad {
                // Not told by colour alone.
                let (middle, above) = (left + wide / 2.0, top.min(base - 2.0) - 6.0);
                write!(
                    f,
                    "<path class=\"mark\" d=\"M{:.1} {:.1}l6 6m0-6l-6 6\"/>",
                    middle - 3.0,
                    above - 3.0
                )?;
            }
            f.write_str("</g>")?;
            x += slot;
        }
        Ok(())
    }

    fn line(&self, scale: &Scale, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<path class=\"line\" d=\"")?;
        for (at, point) in self.points.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            write!(f, "{letter}{:.1} {:.1}", scale.x(point.x), scale.y(point.y))?;
        }
        f.write_str("\"/>")?;
        for point in &self.points {
            write!(
                f,
                "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}</title></circle>",
                scale.x(point.x),
                scale.y(point.y),
                Escaped(&point.label)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Escaped(&self.name);
        write!(
            f,
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{name}-title\"><title id=\"{name}-title\">{}</title>",
            Escaped(&self.title)
        )?;
        let scale = self.scale();
        self.axis(&scale, f)?;
        match self.form {
            Form::Bars => self.bars(&scale, f)?,
            Form::Line => self.line(&scale, f)?,
        }
        f.write_str("</svg>")
    }
}

impl HtmlSafe for Chart {}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(form: Form, values: &[f64]) -> String {
        let point = |(at, y): (usize, &f64)| Point {
            x: f64::from(u32::try_from(at).unwrap()),
            y: *y,
            tone: if *y > 40.0 { Tone::Bad } else { Tone::Good },
            label: format!("run {at}: <{y}>"),
        };
        Chart {
            name: "duration".to_owned(),
            title: "Duration of each run".to_owned(),
            form,
            ends: ("oldest".to_owned(), "newest".to_owned()),
            points: values.iter().enumerate().map(point).collect(),
            written: plain,
        }
        .to_string()
    }

    #[test]
    fn axes_end_evenly() {
        let ends: Vec<f64> = [0.0, 0.03, 1.0, 3.0, 7.0, 42.0, f64::NAN]
            .map(even_end)
            .to_vec();
        assert_eq!(ends, [1.0, 0.05, 1.0, 5.0, 10.0, 50.0, 1.0]);
        assert_eq!(
            [2.50, 0.125, 340.2, 5.0].map(plain),
            ["2.5", "0.125", "340", "5"]
        );
    }

    #[test]
    fn every_figure_is_drawn_with_its_label_and_bad_ones_are_marked() {
        let svg = chart(Form::Bars, &[10.0, 45.0, 0.0]);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert_eq!(svg.matches("class=\"mark\"").count(), 1);
        assert!(svg.contains("<title>run 1: &lt;45&gt;</title>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_line_of_no_or_one_point_is_drawn_without_odd_numbers() {
        for values in [&[][..], &[0.4][..], &[0.4, 0.4][..], &[-1.0, 2.0][..]] {
            let svg = chart(Form::Line, values);
            assert_eq!(svg.matches("<circle").count(), values.len());
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
