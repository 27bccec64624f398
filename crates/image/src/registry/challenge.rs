//! `WWW-Authenticate`: what a registry wants to see (RFC 9110, 11.6.1; distribution's token specification).

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Nothing.
    None,
    /// A user's name and password with each request.
    Basic,
    /// A token from a token server.
    Bearer {
        /// The server's URL.
        realm: String,
        /// What the registry is called there.
        service: Option<String>,
    },
}

impl Challenge {
    /// The strongest of the challenges in the headers that dhow can answer.
    pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
        let mut found = None;
        for header in headers {
            for (scheme, parameters) in challenges(header) {
                let value = |name: &str| {
                    let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
                    parameters.iter().find(same).map(|(_, value)| value.clone())
                };
                match (scheme.to_ascii_lowercase().as_str(), value("realm")) {
                    ("bearer", Some(realm)) => {
                        return Some(Challenge::Bearer { realm, service: value("service") });
                    }
                    ("basic", _) => found = Some(Challenge::Basic),
                    _ => {}
                }
            }
        }
        found
    }
}

type Parameters = Vec<(String, String)>;

/// `scheme key="value", key=value, scheme …`.
fn challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '=', ',']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        let after = tail.trim_start();
        if let Some(value) = after.strip_prefix('=') {
            let (value, tail) = value_of(value.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_owned(), value));
            }
            rest = tail;
        } else {
            found.push((word.to_owned(), Vec::new()));
            rest = tail;
        }
        rest = rest.trim_start_matches([' ', ',']);
    }
    found
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_registries_send() {
        let bearer = |realm: &str, service: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        };
        let cases = [
            (
                r#"Bearer realm="https://a.example/token",service="r.example""#,
                Some(bearer("https://a.example/token", Some("r.example"))),
            ),
            (
                r#"bearer realm="https://a.example/t?x=1,2",scope="repository:a/b:pull,push""#,
                Some(bearer("https://a.example/t?x=1,2", None)),
            ),
            (r#"Basic realm="a \"quoted\" realm""#, Some(Challenge::Basic)),
            (
                r#"Basic realm=x, Bearer realm=https://a.example/t, service=s"#,
                Some(bearer("https://a.example/t", Some("s"))),
            ),
            ("Negotiate", None),
            (r#"Bearer service="x""#, None),
            ("", None),
            (r#"Basic realm="unclosed"#, Some(Challenge::Basic)),
        ];
        for (header, expected) in cases {
            assert_eq!(Challenge::parse([header]), expected, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_too_odd(header in ".{0,80}") {
            let _parsed = Challenge::parse([header.as_str()]);
        }
    }
}
