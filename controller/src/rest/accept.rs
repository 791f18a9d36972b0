//! In which form an answer is wanted, from the `Accept` header.

use http::{HeaderMap, header::ACCEPT};

use super::refusal::Refusal;

/// A form of objects and lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Whole,
    /// `meta.k8s.io` `Table`, in this version.
    Table(&'static str),
    /// `meta.k8s.io` `PartialObjectMetadata`, in this version.
    Metadata(&'static str),
}

/// A form of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// One document for each version of each group.
    Legacy,
    /// All in one document, in this version.
    Aggregated(&'static str),
}

/// More are not read; kubectl sends three.
const MOST: usize = 32;
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

struct MediaRange<'a> {
    type_: &'a str,
    as_: Option<&'a str>,
    group: Option<&'a str>,
    version: Option<&'a str>,
}

/// The first form in the header that there is.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    let ranges = ranges(headers);
    choose(&ranges, Form::Whole, |range| {
        match (range.as_, range.group) {
            (None, _) => Some(Form::Whole),
            (Some("Table"), Some("meta.k8s.io")) => known(range.version).map(Form::Table),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io")) => {
                known(range.version).map(Form::Metadata)
            }
            _ => None,
        }
    })
}

/// The same for the list of what there is.
pub(super) fn discovery(headers: &HeaderMap) -> Result<Discovery, Refusal> {
    let ranges = ranges(headers);
    choose(&ranges, Discovery::Legacy, |range| {
        match (range.as_, range.group, range.version) {
            (None, ..) => Some(Discovery::Legacy),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some(version)) => {
                ["v2", "v2beta1"]
                    .into_iter()
                    .find(|known| *known == version)
                    .map(Discovery::Aggregated)
            }
            _ => None,
        }
    })
}

/// Whether the header names this media type before JSON.
pub(super) fn prefers(headers: &HeaderMap, media_type: &str) -> bool {
    ranges(headers)
        .iter()
        .find(|range| range.is_json() || range.type_.eq_ignore_ascii_case(media_type))
        .is_some_and(|range| range.type_.eq_ignore_ascii_case(media_type))
}

fn choose<T>(
    ranges: &[MediaRange<'_>],
    otherwise: T,
    fits: impl Fn(&MediaRange<'_>) -> Option<T>,
) -> Result<T, Refusal> {
    if ranges.is_empty() {
        return Ok(otherwise);
    }
    ranges
        .iter()
        .filter(|range| range.is_json())
        .find_map(fits)
        .ok_or(Refusal::NotAcceptable)
}

fn ranges(headers: &HeaderMap) -> Vec<MediaRange<'_>> {
    headers
        .get_all(ACCEPT)
        .into_iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(MediaRange::parse)
        .filter(|range| !range.type_.is_empty())
        .take(MOST)
        .collect()
}

fn known(version: Option<&str>) -> Option<&'static str> {
    VERSIONS.into_iter().find(|known| Some(*known) == version)
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            type_: parts.next().unwrap_or_default(),
            as_: None,
            group: None,
            version: None,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "as" => range.as_ = Some(value.trim()),
                "g" => range.group = Some(value.trim()),
                "v" => range.version = Some(value.trim()),
                _ => {}
            }
        }
        range
    }

    fn is_json(&self) -> bool {
        ["application/json", "application/*", "*/*"]
            .iter()
            .any(|json| self.type_.eq_ignore_ascii_case(json))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let value = HeaderValue::from_str(accept).expect("a header");
        HeaderMap::from_iter([(ACCEPT, value)])
    }

    /// What kubectl sends with `get`.
    #[test]
    fn the_first_form_that_there_is_wins() {
        let kubectl = headers(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        );
        assert_eq!(form(&kubectl).expect("acceptable"), Form::Table("v1"));
        let unknown = headers("application/json;as=Graph;v=v1;g=meta.k8s.io, */*");
        assert_eq!(form(&unknown).expect("acceptable"), Form::Whole);
        let none = HeaderMap::new();
        assert_eq!(form(&none).expect("acceptable"), Form::Whole);
        let protobuf = headers("application/vnd.kubernetes.protobuf");
        assert!(matches!(form(&protobuf), Err(Refusal::NotAcceptable)));
        let either = headers("application/vnd.kubernetes.protobuf,application/json");
        assert_eq!(form(&either).expect("acceptable"), Form::Whole);
    }

    #[test]
    fn discovery_comes_aggregated_to_who_asks_for_it_so() {
        let kubectl = headers(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
        );
        assert_eq!(
            discovery(&kubectl).expect("acceptable"),
            Discovery::Aggregated("v2")
        );
        let old = headers("application/json, */*");
        assert_eq!(discovery(&old).expect("acceptable"), Discovery::Legacy);
    }

    #[test]
    fn another_media_type_is_preferred_when_it_stands_before_json() {
        let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert!(prefers(&headers(protobuf), protobuf));
        assert!(!prefers(
            &headers(
                "application/json, application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
            ),
            protobuf
        ));
        assert!(!prefers(&HeaderMap::new(), protobuf));
    }
}
