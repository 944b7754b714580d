//! The language: snippets and what they mean, or what is wrong with them.

use std::collections::BTreeMap;

use super::*;

/// Parses with files and variables of the environment from tables.
fn parse(text: &[u8], files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Map, Vec<Diagnostic>> {
    let files: BTreeMap<PathBuf, Vec<u8>> = files
        .iter()
        .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
        .collect();
    let env: BTreeMap<String, String> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let read = |path: &Path| {
        files
            .get(path)
            .cloned()
            .ok_or(std::io::Error::from(std::io::ErrorKind::NotFound))
    };
    parse_text("t.conf", text, &read, &|name: &str| env.get(name).cloned())
}

fn json(text: &str) -> String {
    match parse(text.as_bytes(), &[], &[]) {
        Ok(map) => map.to_digest_json().trim_end().to_owned(),
        Err(errors) => errors
            .iter()
            .map(Diagnostic::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// What each form means.
#[test]
fn values_mean_what_the_peer_makes_of_them() {
    for (text, expected) in [
        ("", "{}"),
        ("  \n# x\n// y\n", "{}"),
        ("a: 1", r#"{"a":1}"#),
        ("a = 1", r#"{"a":1}"#),
        ("a 1", r#"{"a":1}"#),
        ("a\n\n1\n", r#"{"a":1}"#),
        (
            "a=1;b=2,c=3\nd=4 # x\ne 5 // y\n",
            r#"{"a":1,"b":2,"c":3,"d":4,"e":5}"#,
        ),
        ("a: 1 /\nb: 2", r#"{"a":1,"b":2}"#),
        ("a: 1\na: 2", r#"{"a":2}"#),
        ("a:", r#"{"a":""}"#),
        ("\u{a0}a: 1\u{b}\n".trim_end(), r#"{"a":1}"#),
        // Keys.
        ("\"a b\": 1\n'c\"': 2", r#"{"a b":1,"c\"":2}"#),
        ("a{b}: 1", r#"{"a{b}":1}"#),
        ("include: x", r#"{"include":"x"}"#),
        // Numbers.
        ("a: -5", r#"{"a":-5}"#),
        (
            "a: 1k\nb: 1kb\nc: 1Ki\nd: 1KiB",
            r#"{"a":1000,"b":1024,"c":1024,"d":1024}"#,
        ),
        (
            "a: 2m\nb: 2MB\nc: 2Mi\nd: 2MiB",
            r#"{"a":2000000,"b":2097152,"c":2097152,"d":2097152}"#,
        ),
        (
            "a: 1g\nb: 1gib\nc: 1t\nd: 1tb",
            r#"{"a":1000000000,"b":1073741824,"c":1000000000000,"d":1099511627776}"#,
        ),
        ("a: 1p\nb: 1pi", r#"{"a":1000000000000000,"b":1125899906842624}"#),
        (
            "a: 1e\nb: 1eib\nc: -1k",
            r#"{"a":1000000000000000000,"b":1152921504606846976,"c":-1000}"#,
        ),
        (
            "a: 1.5\nb: -0.25\nc: 1.0\nd: 0.0000001",
            r#"{"a":1.5,"b":-0.25,"c":1,"d":1e-7}"#,
        ),
        ("a: 1000000000000000000000.0", r#"{"a":1e+21}"#),
        (
            "a: 9223372036854775807\nb: -9223372036854775808",
            r#"{"a":9223372036854775807,"b":-9223372036854775808}"#,
        ),
        // Texts that start like a number.
        (
            "a: 5s\nb: 10ms\nc: 1kx\nd: 1h30m",
            r#"{"a":"5s","b":"10ms","c":"1kx","d":"1h30m"}"#,
        ),
        (
            "a: 127.0.0.1:4222\nb: 1.2.3",
            r#"{"a":"127.0.0.1:4222","b":"1.2.3"}"#,
        ),
        ("a: [1k]", r#"{"a":["1k"]}"#),
        ("a: [1,2]", r#"{"a":[1,2]}"#),
        ("a: 12]3\nb { c: 5] }", r#"{"a":"12]3","b":{"c":"5]"}}"#),
        ("a: 1\\x\\ty", r#"{"a":"1\\x\ty"}"#),
        // Booleans.
        (
            "a: true\nb: YES\nc: On\nd: false\ne: no\nf: OFF",
            r#"{"a":true,"b":true,"c":true,"d":false,"e":false,"f":false}"#,
        ),
        ("a: 'true'\nb: tru\\x65", r#"{"a":"true","b":"true"}"#),
        // Dates.
        ("a: 2016-02-29T18:53:41Z", r#"{"a":"2016-02-29T18:53:41Z"}"#),
        // Texts.
        ("a: x/y=z:w", r#"{"a":"x/y=z:w"}"#),
        (
            "a: 'x\\n'\nb: \"x\\n\\t\\r\\\"\\\\\\x41\"",
            r#"{"a":"x\\n","b":"x\n\t\r\"\\A"}"#,
        ),
        ("a: \"x\ny\"", r#"{"a":"x\ny"}"#),
        ("a: x\\ty", r#"{"a":"x\ty"}"#),
        ("a: <&>\u{2028}", r#"{"a":"\u003c\u0026\u003e\u2028"}"#),
        ("a: (\n  x ) y\n)\nb: 1", r#"{"a":"\n  x ) y\n","b":1}"#),
        ("a: (x\n)", r#"{"a":"x\n"}"#),
        // Maps and lists.
        ("a { b: 1 }", r#"{"a":{"b":1}}"#),
        (
            "a = { b = 1, c: 2; d 3\n e\n 4 }",
            r#"{"a":{"b":1,"c":2,"d":3,"e":4}}"#,
        ),
        ("a {\n b:\n  1 # x\n // y\n}", r#"{"a":{"b":1}}"#),
        ("a { b: 1 / c: 2 }", r#"{"a":{"b":1,"c":2}}"#),
        ("a: []\nb: {}", r#"{"a":[],"b":{}}"#),
        ("a: [ 1, 2\n 3 # x\n 'b' ]", r#"{"a":[1,2,3,"b"]}"#),
        ("a: [x,]", r#"{"a":["x"]}"#),
        ("a [ {b: 1}, {b: [c]} ]", r#"{"a":[{"b":1},{"b":["c"]}]}"#),
        // Braces around everything.
        ("{ a: 1, \"b\": {c: 2} }", r#"{"a":1,"b":{"c":2}}"#),
        ("{ { a: 1 }, b: 2 } c: 3", r#"{"a":1,"b":2,"c":3}"#),
        ("{ a: 1\n", r#"{"a":1}"#),
        ("{ { a: 1\n", r#"{"a":1}"#),
        ("a: 1 }", r#"{"a":1}"#),
        ("a: 1\n}\n", r#"{"a":1}"#),
        // Variables.
        ("a: 1\nb: $a", r#"{"a":1,"b":1}"#),
        (
            "a: 1\nb { a: 2, c: $a }\nd: $a",
            r#"{"a":1,"b":{"a":2,"c":2},"d":1}"#,
        ),
        (
            "a { x: 1 }\nb: [$a, $a]",
            r#"{"a":{"x":1},"b":[{"x":1},{"x":1}]}"#,
        ),
        ("a: $2a$11$abc/.x", r#"{"a":"$2a$11$abc/.x"}"#),
        ("a: '$b'", r#"{"a":"$b"}"#),
    ] {
        assert_eq!(json(text), expected, "{text:?}");
    }
}

/// What is wrong, where, and all of it at once.
#[test]
fn errors_name_their_place_and_do_not_hide_each_other() {
    for (text, expected) in [
        ("a", "t.conf:1:1: config is invalid: key \"a\" has no value"),
        ("=1", "t.conf:1:1: unexpected key separator '='"),
        ("a:\nb: 1", "t.conf:1:3: expected a value but found a new line"),
        ("a: .5", "t.conf:1:4: floats must start with a digit"),
        (
            "a: 5.\n",
            "t.conf:1:6: floats must have a digit after the '.', but found a new line",
        ),
        ("a: -x", "t.conf:1:5: expected a digit but found 'x'"),
        ("a: 1kbb", "t.conf:1:4: unknown suffix 'kbb' of number '1kbb'"),
        (
            "a: 99999999999999999999",
            "t.conf:1:4: integer '99999999999999999999' is out of the range",
        ),
        ("a: 10e", "t.conf:1:4: integer '10e' is out of the range"),
        (
            "a: 12-3",
            "t.conf:1:6: dates must be written in full, as in 2006-01-02T15:04:05Z",
        ),
        (
            "a: 2020-01",
            "t.conf:1:11: expected a date as in 2006-01-02T15:04:05Z, but found the end of the file",
        ),
        (
            "a: 2019-02-29T00:00:00Z",
            "t.conf:1:4: expected Zulu formatted DateTime, but got '2019-02-29T00:00:00Z'",
        ),
        (
            "a: 'x",
            "t.conf:1:4: unexpected EOF: the quoted string is never closed",
        ),
        (
            "a: \"x",
            "t.conf:1:4: unexpected EOF: the quoted string is never closed",
        ),
        (
            "'a: 1",
            "t.conf:1:1: unexpected EOF: the quoted key is never closed",
        ),
        (
            "a: (x)\n",
            "t.conf:1:4: unexpected EOF: the block is never closed by a ')' alone on its line",
        ),
        (
            "a: \"\\q\"",
            "t.conf:1:5: invalid escape character: only \\xXX, \\t, \\n, \\r, \\\" and \\\\ are allowed",
        ),
        (
            "a: x\\x4",
            "t.conf:1:5: expected two hexadecimal digits after '\\x'",
        ),
        ("a: [b,,c]\n", "t.conf:1:7: unexpected array value terminator ','"),
        (
            "a: [b c]\n",
            "t.conf:1:7: expected an array value terminator ',' or an array terminator ']', but found 'c'",
        ),
        (
            "a: [b\n",
            "t.conf:1:4: unexpected EOF: the array that starts here is never closed",
        ),
        (
            "a { b: { c: 1\n",
            "t.conf:1:8: unexpected EOF: the map that starts here is never closed",
        ),
        (
            "a { b }\n",
            "t.conf:1:5: config is invalid: key \"b\" has no value",
        ),
        ("a { ] }\n", "t.conf:1:5: unexpected array end ']' in a map"),
        (
            "a: 1 b: 2\n",
            "t.conf:1:6: expected a top-level value to end with a new line, comment or EOF, but found 'b'",
        ),
        (
            "} a: 1",
            "t.conf:1:1: unexpected '}': nothing is open that it could close",
        ),
        (
            "/ a: 1",
            "t.conf:1:1: expected a key or a comment, but found a single '/'",
        ),
        ("a: $b", "t.conf:1:4: variable reference for 'b' can not be found"),
        (
            "a: $b\nb: 1",
            "t.conf:1:4: variable reference for 'b' can not be found",
        ),
        ("a: x\0", "t.conf:1:5: unexpected NUL byte: is this a text file?"),
        // Several at once, each reported once, and nothing but them.
        (
            "a: .5\nb {\n c: -x\n d: 1 2\n e: [ .1, ok ]\n}\nf: 1\ng: $h\n",
            "t.conf:1:4: floats must start with a digit\n\
             t.conf:3:6: expected a digit but found 'x'\n\
             t.conf:4:7: expected a map value terminator ',' or a map terminator '}', but found '2'\n\
             t.conf:5:7: floats must start with a digit\n\
             t.conf:8:4: variable reference for 'h' can not be found",
        ),
        (
            "a x {\n b: 1\n}\nc: .5\n",
            "t.conf:1:5: expected a top-level value to end with a new line, comment or EOF, but found '{'\n\
             t.conf:4:4: floats must start with a digit",
        ),
    ] {
        assert_eq!(json(text), expected, "{text:?}");
    }
}

/// Includes: beside the including file, with variables of their own, refused in a circle.
#[test]
fn includes_bring_in_the_keys_of_a_file() {
    let files = [
        ("b.conf", "b: 1\nx: $b\n"),
        ("sub/c.conf", "include d.conf\nc: 1"),
        ("sub/d.conf", "d: 1"),
        ("loop.conf", "include \"sub/../t.conf\"\n"),
        ("bad.conf", "\n a: .5\n b: -x\n"),
        ("outer.conf", "y: $outside"),
    ];
    for (text, expected) in [
        ("a: 1\ninclude \"b.conf\"\ny: $b", r#"{"a":1,"b":1,"x":1,"y":1}"#),
        ("include 'b.conf'; a: 1", r#"{"a":1,"b":1,"x":1}"#),
        ("INCLUDE ./b.conf\n", r#"{"b":1,"x":1}"#),
        ("m { include b.conf }", r#"{"m":{"b":1,"x":1}}"#),
        ("m { include sub/c.conf; a: 1 }", r#"{"m":{"a":1,"c":1,"d":1}}"#),
        ("include /b.conf", r#"{"b":1,"x":1}"#),
        (
            "include nope.conf",
            "t.conf:1:1: error parsing include file 'nope.conf', open nope.conf: no such file or directory",
        ),
        (
            "include loop.conf",
            "loop.conf:1:1: error parsing include file 'sub/../t.conf', t.conf is being read already: an include cycle",
        ),
        (
            "include bad.conf\nc: .5",
            "bad.conf:2:5: floats must start with a digit\n\
             bad.conf:3:6: expected a digit but found 'x'\n\
             t.conf:2:4: floats must start with a digit",
        ),
        ("outside: 1\ninclude outer.conf", "outer.conf:1:4: variable reference for 'outside' can not be found"),
        ("include {\n", "t.conf:1:9: expected the file to include, but found '{'"),
    ] {
        let got = match parse(text.as_bytes(), &files, &[]) {
            Ok(map) => map.to_digest_json().trim_end().to_owned(),
            Err(errors) => errors.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n"),
        };
        assert_eq!(got, expected, "{text:?}");
    }
}

/// Variables of the environment are values of the language themselves.
#[test]
fn environment_variables_are_parsed_as_values() {
    let env = [
        ("NUM", "10k"),
        ("TEXT", "hello"),
        ("QUOTED", "'a b'"),
        ("LIST", "[a, b]"),
        ("CHAIN", "$NUM"),
        ("LOOP", "$POOL"),
        ("POOL", "$LOOP"),
        ("BROKEN", "a b"),
    ];
    for (text, expected) in [
        ("a: $NUM", r#"{"a":10000}"#),
        ("a: $TEXT", r#"{"a":"hello"}"#),
        ("a: $QUOTED", r#"{"a":"a b"}"#),
        ("a: $LIST", r#"{"a":["a","b"]}"#),
        ("a: $CHAIN", r#"{"a":10000}"#),
        ("NUM: 1\na: $NUM", r#"{"NUM":1,"a":1}"#),
    ] {
        assert_eq!(
            parse(text.as_bytes(), &[], &env)
                .unwrap()
                .to_digest_json()
                .trim_end(),
            expected,
            "{text:?}"
        );
    }
    for (text, part) in [
        (
            "a: $LOOP",
            "t.conf:1:4: variable reference for 'LOOP' could not be parsed: $LOOP:1:4: ",
        ),
        ("a: $LOOP", "variable reference cycle for 'LOOP'"),
        (
            "a: $BROKEN",
            "t.conf:1:4: variable reference for 'BROKEN' could not be parsed: $BROKEN:1:6: expected",
        ),
    ] {
        let errors = parse(text.as_bytes(), &[], &env).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains(part), "{}", errors[0]);
    }
}

/// A variable that was used marks the key that defined it, in included files too.
#[test]
fn used_variables_are_marked_where_they_were_defined() {
    let files = [("v.conf", "v: 1\nw: 2")];
    let map = parse(b"include v.conf\na: $v\n", &files, &[]).unwrap();
    assert!(map.get("v").unwrap().used_as_variable);
    assert!(!map.get("w").unwrap().used_as_variable);
    assert!(!map.get("a").unwrap().used_as_variable);
    assert_eq!(map.get("v").unwrap().at.to_string(), "v.conf:1:1");
}

/// Depth, size of references, and number of errors are bounded.
#[test]
fn hostile_files_meet_a_bound() {
    let deep = |count: usize| format!("a: {}{}", "[".repeat(count), "]".repeat(count));
    assert!(parse(deep(DEPTH_MAX).as_bytes(), &[], &[]).is_ok());
    let too_deep = "t.conf:1:132: maps and arrays nest more than 128 deep";
    assert_eq!(json(&deep(DEPTH_MAX + 1)), too_deep);
    assert!(json(&"{".repeat(100_000)).contains("more than 128 braces are open"));

    let chain: String = (1..=DEPTH_MAX + 1)
        .map(|i| format!("v{i}: [$v{}]\n", i - 1))
        .collect();
    assert!(json(&format!("v0: 1\n{chain}")).ends_with("maps and arrays nest more than 128 deep"));
    let laughs: String = (1..=40)
        .map(|i| format!("v{i}: [$v{}, $v{}]\n", i - 1, i - 1))
        .collect();
    assert!(json(&format!("v0: 1\n{laughs}")).contains("variables stand for more than"));

    let errors = parse("a: .5\n".repeat(10 * ERRORS_MAX).as_bytes(), &[], &[]).unwrap_err();
    assert_eq!(errors.len(), ERRORS_MAX);
}

mod properties {
    use proptest::prelude::*;

    use super::super::super::parse_bytes;
    use super::*;

    /// Bytes that the language gives a meaning, and some others.
    fn text_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "(",
            "\n)\n",
            "\n",
            " ",
            "=",
            ":",
            ",",
            ";",
            "#",
            "//",
            "/",
            "\"",
            "'",
            "\\",
            "\\x4",
            "$",
            "$a",
            "a",
            "b",
            "include ",
            "include x\n",
            "1",
            "-",
            ".",
            "1k",
            "2020-",
            "T",
            "Z",
            "true",
            "\u{e9}",
            "\u{a0}",
        ]);
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>()
                .prop_filter("finite", |f| f.is_finite())
                .prop_map(Value::Float),
            any::<String>().prop_map(|text| Value::Text(text.into())),
            (0..10_000_u32, 1..13_u32, 1..29_u32)
                .prop_map(|(y, m, d)| Value::Date(format!("{y:04}-{m:02}-{d:02}T01:02:03Z").into())),
        ];
        plain.prop_recursive(4, 64, 6, |inner| {
            let node = inner.prop_map(|value| Node {
                value,
                at: Position {
                    file: "".into(),
                    line: 0,
                    column: 0,
                },
                used_as_variable: false,
            });
            prop_oneof![
                prop::collection::vec(node.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec(("[a-z $#'{}=:\\n\u{e9}]{0,6}", node), 0..6).prop_map(|entries| {
                    let mut map = Map::default();
                    for (key, node) in entries {
                        map.insert(key.into(), node);
                    }
                    Value::Map(map)
                }),
            ]
        })
    }

    proptest! {
        /// Whatever the bytes are, the answer is a tree or errors with a place.
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(errors) = parse_bytes(&bytes) {
                prop_assert!(errors.iter().all(|error| error.at.is_some()));
            }
        }

        /// The same for bytes that look like the language.
        #[test]
        fn text_like_bytes_never_panic(bytes in text_like()) {
            if let Err(errors) = parse_bytes(&bytes) {
                prop_assert!(!errors.is_empty() && errors.len() <= ERRORS_MAX);
                prop_assert!(errors.iter().all(|error| error.at.is_some()));
            }
        }

        /// A printed value parses back to itself.
        #[test]
        fn printed_values_parse_back(value in any_value()) {
            let text = format!("k: {}\n", value.to_config());
            let map = parse_bytes(text.as_bytes()).map_err(|errors| TestCaseError::fail(format!("{errors:?}\n{text}")))?;
            prop_assert_eq!(&map.get("k").unwrap().value, &value, "{}", text);
        }
    }
}
