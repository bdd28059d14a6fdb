//! Holds the colours to WCAG AA: text against what it stands on, light and dark.

use std::collections::BTreeMap;

use towpath_ui::asset;

/// Text and ground, as `app.css` names them.
const TEXT: [(&str, &str); 24] = [
    ("ink", "bg"),
    ("ink", "surface"),
    ("ink", "sunken"),
    ("muted", "bg"),
    ("muted", "surface"),
    ("muted", "sunken"),
    ("link", "bg"),
    ("link", "surface"),
    ("link", "warn-bg"),
    ("muted", "warn-bg"),
    ("top-ink", "top"),
    ("top-muted", "top"),
    ("calm", "calm-bg"),
    ("wait", "wait-bg"),
    ("live", "live-bg"),
    ("good", "good-bg"),
    ("warn", "warn-bg"),
    ("bad", "bad-bg"),
    ("bad", "surface"),
    ("stable", "sunken"),
    ("candidate", "sunken"),
    ("primary-ink", "primary"),
    ("danger-ink", "danger"),
    ("log-muted", "log-bg"),
];

type Colours = BTreeMap<String, String>;

/// The variables of the blocks that follow `selector`.
fn colours(css: &str, selector: &str) -> Colours {
    let block = css.split(selector).nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default();
    block
        .split(';')
        .filter_map(|declaration| declaration.trim().strip_prefix("--")?.split_once(": "))
        .filter(|(_, value)| value.starts_with('#'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn luminance(colour: &str) -> f64 {
    let hex: String = match colour.len() {
        4 => colour[1..].chars().flat_map(|digit| [digit, digit]).collect(),
        _ => colour[1..].to_owned(),
    };
    let channel = |at: usize| {
        let value =
            f64::from(u8::from_str_radix(&hex[at..at + 2], 16).expect("two hexadecimal digits")) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}

fn sheet() -> &'static str {
    let css = asset("/assets/0/app.css").expect("there is a style sheet");
    std::str::from_utf8(css.bytes).expect("it is text")
}

#[test]
fn text_can_be_read_in_both_themes() {
    let light = colours(sheet(), "\n:root {");
    let mut dark = light.clone();
    dark.extend(colours(sheet(), "\n:root[data-theme=\"dark\"] {"));
    for (theme, colours) in [("light", light), ("dark", dark)] {
        for (text, ground) in TEXT {
            let found = contrast(&colours[text], &colours[ground]);
            assert!(found >= 4.5, "{theme}: {text} on {ground} has a contrast of {found:.2}, not 4.5");
        }
    }
}

#[test]
fn the_chosen_dark_is_the_systems_dark() {
    let chosen = colours(sheet(), "\n:root[data-theme=\"dark\"] {");
    let system = colours(sheet(), ":root:not([data-theme=\"light\"]) {");
    assert!(chosen.len() > 20, "the variables were not found");
    assert_eq!(chosen, system);
}
