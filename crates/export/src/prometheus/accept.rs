// SPDX-License-Identifier: Apache-2.0
//! Which format a client wants (RFC 9110 sections 12.5.1 and 12.5.3).

/// What a page can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

impl Format {
    /// The one with the greatest weight in an `Accept` header; among equals the first. Text when it names none of ours.
    pub(super) fn accepted(header: &str) -> Self {
        let mut best = (0, Self::Text);
        for range in header.split(',') {
            if let Some(format) = Self::named(range)
                && weight(range) > best.0
            {
                best = (weight(range), format);
            }
        }
        best.1
    }

    fn named(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next()?;
        let parameter = |wanted: &str| {
            parts.clone().filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
                name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
            })
        };
        let version = parameter("version");
        match media.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0" | "0.0.1")) => {
                Some(Self::OpenMetrics)
            }
            "application/vnd.google.protobuf" => {
                let family = parameter("proto") == Some("io.prometheus.client.MetricFamily");
                (family && parameter("encoding") == Some("delimited")).then_some(Self::Protobuf)
            }
            "text/plain" if matches!(version, None | Some("0.0.4")) => Some(Self::Text),
            "text/*" | "*/*" => Some(Self::Text),
            _ => None,
        }
    }

    /// Value of the `Content-Type` header.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; \
                 proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Whether an `Accept-Encoding` header allows gzip.
pub(super) fn gzip(header: &str) -> bool {
    header.split(',').any(|range| {
        let name = range.split(';').next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("gzip") && weight(range) > 0
    })
}

/// The `q` parameter in thousandths; 1000 when there is none, 0 when it makes no sense.
fn weight(range: &str) -> u32 {
    let parameters = range.split(';').skip(1).filter_map(|part| part.split_once('='));
    let q = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q")).last();
    let Some((_, q)) = q else { return 1000 };
    let q = q.trim();
    match q.split_once('.') {
        None => q.parse().map_or(0, |q: u32| q.min(1) * 1000),
        Some(("1", _)) => 1000,
        Some(("0", digits)) if digits.len() <= 3 => format!("{digits:0<3}").parse().unwrap_or(0),
        Some(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: &str = "application/vnd.google.protobuf;\
                            proto=io.prometheus.client.MetricFamily;encoding=delimited";

    #[test]
    fn the_heaviest_format_that_is_ours_wins() {
        let prometheus = format!(
            "{PROTOBUF};q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"
        );
        for (header, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html, image/png;q=0.8", Format::Text),
            (prometheus.as_str(), Format::Protobuf),
            ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", Format::OpenMetrics),
            ("application/openmetrics-text;version=9.0.0,text/plain;q=0.5", Format::Text),
            ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.8", Format::Text),
            ("application/vnd.google.protobuf;encoding=text", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=many", Format::Text),
        ] {
            assert_eq!(Format::accepted(header), expected, "{header}");
        }
    }

    #[test]
    fn gzip_is_used_only_when_it_is_allowed() {
        for (header, expected) in
            [("gzip", true), ("deflate, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            assert_eq!(gzip(header), expected, "{header}");
        }
    }
}
