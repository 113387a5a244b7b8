//! The figures at 256 connections, as bars.

use std::fmt::Write;

use super::figures::{Figures, thousands};

const WIDTH: f64 = 760.0;
const LABELS: f64 = 270.0;
const BAR: f64 = 18.0;
const STEP: f64 = 30.0;
const TOP: f64 = 44.0;
/// The room to the right of the longest bar, for its number.
const NUMBER: f64 = 80.0;

/// As an SVG that can be read on light and on dark pages.
pub(crate) fn svg(figures: &Figures) -> String {
    let bars: Vec<(&str, f64)> = figures.at_256().collect();
    let most = bars.iter().map(|(_, number)| *number).fold(1.0, f64::max);
    let height = bars.iter().fold(TOP + 8.0, |height, _| height + STEP);
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>Requests per second at 256 connections</title>
<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>
<text x="16" y="26" font-weight="600" fill="#1b2a33">Requests per second at 256 connections</text>
"##
    );
    let mut y = TOP;
    for (name, number) in bars {
        let (width, middle) = (number / most * (WIDTH - LABELS - NUMBER), y + BAR * 0.75);
        let colour = if name.starts_with("vote") { "#0065ab" } else { "#8fb3c9" };
        let name = name.replace('`', "");
        let end = LABELS + width + 6.0;
        writeln!(
            text,
            r##"<text x="16" y="{middle:.1}" fill="#1b2a33">{name}</text>
<rect x="{LABELS}" y="{y:.1}" width="{width:.1}" height="{BAR}" fill="{colour}"/>
<text x="{end:.1}" y="{middle:.1}" fill="#1b2a33">{}</text>"##,
            thousands(number)
        )
        .expect("a string takes everything");
        y += STEP;
    }
    text + "</svg>\n"
}
