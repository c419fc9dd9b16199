//! Pictures of figures side by side, as SVG: horizontal bars in groups, each divided or with a range.

use std::fmt::Write as _;

/// The length of a bar that fills its row, and other measures of the picture in its own units.
const BAR: f64 = 620.0;
const HEIGHT: f64 = 13.0;
const GAP: f64 = 9.0;
const MARGIN: f64 = 8.0;
const LEGEND_ROW: f64 = 18.0;
const LEGEND_COLUMN: f64 = 290.0;
/// What a file says that is SVG and nothing else.
const NAMESPACE: &str = "xmlns=\"http://www.w3.org/2000/svg\" ";
/// The least width of a part that its text fits into.
const ROOM_FOR_TEXT: f64 = 18.0;

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it shows, for who cannot see it.
    pub label: String,
    /// Its own style, if it stands alone; else the page has one.
    pub style: Option<&'static str>,
    /// Widths of the columns before the bars: the groups' names, and the bars'.
    pub columns: [f64; 2],
    /// Colours, as classes of the style, and what they mean.
    pub legend: Vec<(&'static str, String)>,
    /// What is side by side, from the top.
    pub groups: Vec<Group>,
}

/// Bars that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are of.
    pub label: String,
    /// They, from the top.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What stands before it.
    pub label: String,
    /// What it is made of, from the left.
    pub parts: Vec<Part>,
    /// From where to where what it shows was found to be, in parts of a full bar.
    pub range: Option<[f64; 2]>,
}

/// A part of a bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its colour, as a class of the style.
    pub class: &'static str,
    /// Its length, in parts of a full bar.
    pub share: f64,
    /// What it says when it is pointed at.
    pub title: String,
    /// What stands in it, if there is room.
    pub text: Option<String>,
}

impl Chart {
    /// The picture as SVG.
    pub fn svg(&self) -> String {
        let bars: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let width = self.columns.iter().sum::<f64>() + BAR + 10.0;
        let height = self.legend_height() + bars as f64 * (HEIGHT + 2.0) + self.groups.len() as f64 * GAP + 4.0;
        let (label, namespace) = (escaped(&self.label), self.style.map_or("", |_| NAMESPACE));
        let mut svg =
            format!("<svg {namespace}viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n");
        if let Some(style) = self.style {
            let _ = writeln!(svg, "<style>\n{style}</style>");
            let _ = writeln!(svg, "<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>");
        }
        self.draw_legend(&mut svg);
        let mut y = self.legend_height();
        for group in &self.groups {
            self.draw_group(&mut svg, group, y);
            y += group.bars.len() as f64 * (HEIGHT + 2.0) + GAP;
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn legend_height(&self) -> f64 {
        2.0 * MARGIN + LEGEND_ROW * self.legend.len().div_ceil(3) as f64
    }

    fn draw_legend(&self, svg: &mut String) {
        for (index, (class, meaning)) in self.legend.iter().enumerate() {
            let x = 10.0 + LEGEND_COLUMN * (index % 3) as f64;
            let y = MARGIN + LEGEND_ROW * (index / 3) as f64;
            let (text_x, text_y, meaning) = (x + 18.0, y + 10.0, escaped(meaning));
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\"/>\
                 <text x=\"{text_x}\" y=\"{text_y}\">{meaning}</text>"
            );
        }
    }

    fn draw_group(&self, svg: &mut String, group: &Group, top: f64) {
        let middle = top + group.bars.len() as f64 * (HEIGHT + 2.0) / 2.0 + 3.0;
        let (x, label) = (self.columns[0] - 8.0, escaped(&group.label));
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{middle}\" text-anchor=\"end\">{label}</text>");
        for (index, bar) in group.bars.iter().enumerate() {
            self.draw_bar(svg, bar, top + index as f64 * (HEIGHT + 2.0));
        }
    }

    fn draw_bar(&self, svg: &mut String, bar: &Bar, y: f64) {
        let (label_x, text_y, label) = (self.columns[0], y + 10.0, escaped(&bar.label));
        let _ = writeln!(svg, "<text class=\"group\" x=\"{label_x}\" y=\"{text_y}\">{label}</text>");
        let left = self.columns.iter().sum::<f64>();
        let mut x = left;
        for part in &bar.parts {
            let (class, width, title) = (part.class, BAR * part.share, escaped(&part.title));
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{HEIGHT}\"><title>{title}</title></rect>"
            );
            if let Some(text) = part.text.as_ref().filter(|_| width > ROOM_FOR_TEXT) {
                let (middle, text) = (x + width / 2.0, escaped(text));
                let _ = writeln!(
                    svg,
                    "<text class=\"count {class}-text\" x=\"{middle:.2}\" y=\"{text_y}\" text-anchor=\"middle\">{text}</text>"
                );
            }
            x += width;
        }
        if let Some([from, to]) = bar.range.map(|ends| ends.map(|end| left + BAR * end)) {
            let middle = y + HEIGHT / 2.0;
            let _ = writeln!(svg, "<path class=\"range\" d=\"M{from:.2} {middle}H{to:.2}\"/>");
        }
    }
}

/// `text` as XML has it, in text and in attributes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(share: f64) -> Part {
        Part { class: "one", share, title: "a < b & \"c\"".to_owned(), text: Some("7".to_owned()) }
    }

    fn chart(bars: Vec<Bar>) -> String {
        let groups = vec![Group { label: "group".to_owned(), bars }];
        let legend = vec![("one", "the first".to_owned())];
        Chart { label: "what".to_owned(), style: None, columns: [100.0, 20.0], legend, groups }.svg()
    }

    #[test]
    fn parts_follow_each_other_and_are_as_long_as_their_shares() {
        let svg = chart(vec![Bar { label: "bar".to_owned(), parts: vec![part(0.25), part(0.5)], range: None }]);
        assert!(svg.contains(r#"x="120.00" y="34" width="155.00""#), "{svg}");
        assert!(svg.contains(r#"x="275.00" y="34" width="310.00""#), "{svg}");
        assert!(svg.contains(r#"viewBox="0 0 750 62""#), "{svg}");
        assert!(svg.contains("<title>a &lt; b &amp; &quot;c&quot;</title>"), "{svg}");
    }

    #[test]
    fn a_text_without_room_is_left_out() {
        let bar = |share| chart(vec![Bar { label: String::new(), parts: vec![part(share)], range: None }]);
        assert!(bar(0.1).contains(">7</text>"));
        assert!(!bar(0.01).contains(">7</text>"));
    }

    #[test]
    fn a_range_is_drawn_over_its_bar() {
        let svg = chart(vec![Bar { label: String::new(), parts: vec![part(0.5)], range: Some([0.25, 1.0]) }]);
        assert!(svg.contains(r#"<path class="range" d="M275.00 40.5H740.00"/>"#), "{svg}");
    }
}
