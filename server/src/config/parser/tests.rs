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

/// Each text means what stands beside it, or is wrong in the way that stands beside it.
fn check(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(json(text), *expected, "{text:?}");
    }
}

/// A file may hold nothing; a key and its value are parted in four ways, entries in three.
/// Covers: TestWhitespaceKeySep, TestSemicolonChaining, TestParseWithNoValuesEmptyConfigsAreValid
#[test]
fn entries_are_parted_in_many_ways() {
    check(&[
        ("", "{}"),
        ("  \n\n\n", "{}"),
        ("a: 1", r#"{"a":1}"#),
        ("a = 1", r#"{"a":1}"#),
        ("a 1", r#"{"a":1}"#),
        ("a\n\n1\n", r#"{"a":1}"#),
        ("a='1'; b=2.2; c=true;", r#"{"a":"1","b":2.2,"c":true}"#),
        (
            "a=1;b=2,c=3\nd=4 # x\ne 5 // y\n",
            r#"{"a":1,"b":2,"c":3,"d":4,"e":5}"#,
        ),
        ("a: 1 /\nb: 2", r#"{"a":1,"b":2}"#),
        ("a: 1\na: 2", r#"{"a":2}"#),
        ("a:", r#"{"a":""}"#),
        ("\u{a0}a: x\u{b}y\n\u{3000}b: 1", r#"{"a":"x\u000by","b":1}"#),
    ]);
}

/// Comments stand between entries and behind values, at every level.
/// Covers: TestComments, TestTopValuesWithComments
#[test]
fn comments_are_no_values() {
    check(&[
        ("# x\n  // y\n", "{}"),
        ("# x\na = 1 # y\n// z\nb = 2 // w\n", r#"{"a":1,"b":2}"#),
        ("a {# x\n b: 1 # y\n // z\n}", r#"{"a":{"b":1}}"#),
        ("a [ # x\n 1 # y\n // z\n]", r#"{"a":[1]}"#),
        (
            "a: '# x'\nb: x#y\nc: x//y",
            r##"{"a":"# x","b":"x#y","c":"x//y"}"##,
        ),
        (
            "/ a: 1",
            "t.conf:1:1: expected a key or a comment, but found a single '/'",
        ),
        (
            "a { / b: 1 }",
            "t.conf:1:5: expected a key or a comment, but found a single '/'",
        ),
    ]);
}

/// Keys with quotes hold anything but that quote, keys without end at white space and separators.
/// Covers: TestQuotedKeysWithSpace, TestBadKey, TestKeyDanglingQuotedString
#[test]
fn keys_may_be_quoted() {
    check(&[
        ("\"a b\": 1\n'c\"': 2", r#"{"a b":1,"c\"":2}"#),
        ("a{b}: 1", r#"{"a{b}":1}"#),
        ("include: x", r#"{"include":"x"}"#),
        (" :foo = 22", "t.conf:1:2: Unexpected key separator ':'"),
        ("a { = 1 }", "t.conf:1:5: Unexpected key separator '='"),
        (
            "'a: 1",
            "t.conf:1:1: Unexpected EOF. The quoted key that starts here is never closed",
        ),
        (
            "\"a: 1",
            "t.conf:1:1: Unexpected EOF. The quoted key that starts here is never closed",
        ),
    ]);
}

/// A key needs a value.
/// Covers: TestParseWithNoValuesAreInvalid
#[test]
fn keys_without_values_are_invalid() {
    check(&[
        ("aaa", "t.conf:1:1: config is invalid: key \"aaa\" has no value"),
        (
            "  aaa   \n",
            "t.conf:1:3: config is invalid: key \"aaa\" has no value",
        ),
        (
            "# x\n a,a,a\n",
            "t.conf:2:2: config is invalid: key \"a,a,a\" has no value",
        ),
        (
            "a { b }\n",
            "t.conf:1:5: config is invalid: key \"b\" has no value",
        ),
        (
            "a { b: }\n",
            "t.conf:1:5: config is invalid: key \"b\" has no value",
        ),
        ("a:\nb: 1", "t.conf:1:3: Expected value but found new line"),
    ]);
}

/// Numbers, with the suffixes of thousands in all spellings.
/// Covers: TestConvenientNumbers, TestSimpleKeyNegativeIntegerValues, TestConvenientIntegerValues
#[test]
fn numbers_have_suffixes() {
    check(&[
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
            "a: 9223372036854775807\nb: -9223372036854775808",
            r#"{"a":9223372036854775807,"b":-9223372036854775808}"#,
        ),
        ("a: -x", "t.conf:1:5: Expected a digit but got 'x'."),
        ("a: 1kbb", "t.conf:1:4: unknown suffix 'kbb' of number '1kbb'"),
        (
            "a: 99999999999999999999",
            "t.conf:1:4: integer '99999999999999999999' is out of the range",
        ),
        ("a: 10e", "t.conf:1:4: integer '10e' is out of the range"),
    ]);
}

/// Floats have digits on both sides of the dot.
/// Covers: TestSimpleKeyFloatValues, TestBadFloatValues
#[test]
fn floats_have_digits_on_both_sides() {
    check(&[
        (
            "a: 1.5\nb: -0.25\nc: 1.0\nd: 0.0000001",
            r#"{"a":1.5,"b":-0.25,"c":1,"d":1e-7}"#,
        ),
        ("a: 1000000000000000000000.0", r#"{"a":1e+21}"#),
        ("a: .5", "t.conf:1:4: Floats must start with a digit"),
        (
            "a: 5.\n",
            "t.conf:1:6: Floats must have a digit after the '.', but got '\\n' instead.",
        ),
    ]);
}

/// What starts like a number and goes on otherwise is a text.
/// Covers: TestStringStartingWithNumber, TestUnquotedIPAddr
#[test]
fn texts_may_start_like_numbers() {
    check(&[
        (
            "a: 5s\nb: 10ms\nc: 1kx\nd: 1h30m",
            r#"{"a":"5s","b":"10ms","c":"1kx","d":"1h30m"}"#,
        ),
        (
            "a: 3xyz,\nb: 3xyz;\nc { d: 3xyz }",
            r#"{"a":"3xyz","b":"3xyz","c":{"d":"3xyz"}}"#,
        ),
        (
            "a: 127.0.0.1:4222\nb: 1.2.3\nc: [192.168.1.1, 127.0.0.1:80]",
            r#"{"a":"127.0.0.1:4222","b":"1.2.3","c":["192.168.1.1","127.0.0.1:80"]}"#,
        ),
        ("a: 1\\x\\ty", r#"{"a":"1\\x\ty"}"#),
        ("a: 12]3\nb { c: 5] }", r#"{"a":"12]3","b":{"c":"5]"}}"#),
        ("a: [1k]", r#"{"a":["1k"]}"#),
        ("a: [1,2]", r#"{"a":[1,2]}"#),
    ]);
}

/// Words for yes and no, in any case, where no quote or escape makes a text of them.
/// Covers: TestBools, TestSimpleKeyBoolValues, TestNonBool
#[test]
fn booleans_have_six_words() {
    check(&[
        ("a: true\nb: YES\nc: On", r#"{"a":true,"b":true,"c":true}"#),
        ("a: false\nb: no\nc: OFF", r#"{"a":false,"b":false,"c":false}"#),
        (
            "a: 'true'\nb: tru\\x65\nc: \\\\true",
            r#"{"a":"true","b":"true","c":"\\true"}"#,
        ),
    ]);
}

/// Dates have one form and must exist.
/// Covers: TestDateValues
#[test]
fn dates_have_one_form() {
    check(&[
        (
            "a: 2016-05-04T18:53:41Z\nb: 2016-02-29T00:00:00Z",
            r#"{"a":"2016-05-04T18:53:41Z","b":"2016-02-29T00:00:00Z"}"#,
        ),
        (
            "a: 12-3",
            "t.conf:1:6: All ISO8601 dates must be in full Zulu form, as in 2006-01-02T15:04:05Z",
        ),
        (
            "a: 2020-01",
            "t.conf:1:11: Expected '-' in ISO8601 datetime, but found EOF instead.",
        ),
        (
            "a: 2020-x",
            "t.conf:1:9: Expected digit in ISO8601 datetime, but found 'x' instead.",
        ),
        (
            "a: 2019-02-29T00:00:00Z",
            "t.conf:1:4: expected Zulu formatted DateTime, but got '2019-02-29T00:00:00Z'",
        ),
    ]);
}

/// Texts in single quotes are as they are, in double quotes they have escapes, and without quotes too.
/// Covers: TestEscapedString, TestBinaryString, TestNonQuotedStrings
#[test]
fn texts_have_quotes_or_none() {
    check(&[
        ("a: x/y=z:w", r#"{"a":"x/y=z:w"}"#),
        ("a: ''\nb: \"\"", r#"{"a":"","b":""}"#),
        (
            "a: 'x\\n'\nb: \"x\\n\\t\\r\\\"\\\\\\x41\"",
            r#"{"a":"x\\n","b":"x\n\t\r\"\\A"}"#,
        ),
        ("a: \"x\ny\"", r#"{"a":"x\ny"}"#),
        ("a: x\\ty", r#"{"a":"x\ty"}"#),
        ("a: <&>\u{2028}", r#"{"a":"\u003c\u0026\u003e\u2028"}"#),
    ]);
}

/// Quotes must be closed and escapes be known.
/// Covers: TestBadStringEscape, TestDanglingQuotedString, TestBadBinaryStringEndingAfterOneHexChar
#[test]
fn broken_texts_are_refused() {
    check(&[
        (
            "a: 'x",
            "t.conf:1:4: Unexpected EOF. The quoted string that starts here is never closed",
        ),
        (
            "a: \"x",
            "t.conf:1:4: Unexpected EOF. The quoted string that starts here is never closed",
        ),
        (
            "a: \"\\q\"",
            "t.conf:1:6: Invalid escape character 'q'. Only the following escape characters are allowed: \
             \\xXX, \\t, \\n, \\r, \\\", \\\\.",
        ),
        (
            "a: x\\x4",
            "t.conf:1:5: Expected two hexadecimal digits after '\\x'",
        ),
        (
            "a: x\\xg1",
            "t.conf:1:5: Expected two hexadecimal digits after '\\x'",
        ),
        ("a: x\\xe9", "t.conf:1:4: text is not valid UTF-8"),
        ("a: x\0", "t.conf:1:5: unexpected NUL byte: is this a text file?"),
    ]);
}

/// Blocks end at a parenthesis alone on its line.
/// Covers: TestBlocks, TestBlockStringMultiLine, TestBlockDanglingParens
#[test]
fn blocks_end_at_a_lone_parenthesis() {
    check(&[
        ("a: (\n  x ) y\n)\nb: 1", r#"{"a":"\n  x ) y\n","b":1}"#),
        ("a: (x\n)", r#"{"a":"x\n"}"#),
        (
            "a: (x)\n",
            "t.conf:1:4: Unexpected EOF processing block. Only a ')' alone on its line closes it",
        ),
    ]);
}

/// Maps need no separator before them and hold entries in all forms.
/// Covers: TestNestedMaps, TestNestedWhitespaceMaps, TestMapDanglingBracket
#[test]
fn maps_hold_entries() {
    check(&[
        ("a { b: 1 }", r#"{"a":{"b":1}}"#),
        (
            "a = { b = 1, c: 2; d 3\n e\n 4 }",
            r#"{"a":{"b":1,"c":2,"d":3,"e":4}}"#,
        ),
        ("a {\n b:\n  1 # x\n // y\n}", r#"{"a":{"b":1}}"#),
        ("a { b: 1 / c: 2 }", r#"{"a":{"b":1,"c":2}}"#),
        ("a: {}", r#"{"a":{}}"#),
        (
            "a { b: { c: 1\n",
            "t.conf:1:8: Unexpected EOF processing map. It starts here and is never closed",
        ),
        (
            "a { ] }\n",
            "t.conf:1:5: Unexpected array end ']' processing map.",
        ),
    ]);
}

/// Arrays hold values of all kinds, parted by commas or lines.
/// Covers: TestMultilineArraysNoSep, TestArrayOfMaps, TestArrays
#[test]
fn arrays_hold_values() {
    check(&[
        ("a: []", r#"{"a":[]}"#),
        ("a: [ 1, 2\n 3 # x\n 'b' ]", r#"{"a":[1,2,3,"b"]}"#),
        ("a: [x,]", r#"{"a":["x"]}"#),
        ("a [ {b: 1}, {b: [c]} ]", r#"{"a":[{"b":1},{"b":["c"]}]}"#),
        ("a: [b,,c]\n", "t.conf:1:7: Unexpected array value terminator ','."),
        (
            "a: [b c]\n",
            "t.conf:1:7: Expected an array value terminator \",\" or an array terminator \"]\", but got 'c' instead.",
        ),
        ("a: [b\n", "t.conf:1:4: Unexpected EOF processing array. It starts here and is never closed"),
    ]);
}

/// The whole file may stand in braces, as JSON does, and one brace too many may close it.
/// Covers: TestJSONParseCompat, TestJSONCompat, TestParseWithTrailingBracketsAreValid
#[test]
fn braces_may_stand_around_the_file() {
    check(&[
        ("{}", "{}"),
        ("{ a: 1, \"b\": {c: 2} }", r#"{"a":1,"b":{"c":2}}"#),
        ("{\n  \"http_port\": 8223,\n  \"write_deadline\": \"3s\",\n  \"cluster\": {\n    \"routes\": [\n      \"a\",\n      \"b\"\n    ]\n  }\n}\n", r#"{"cluster":{"routes":["a","b"]},"http_port":8223,"write_deadline":"3s"}"#),
        ("{ { a: 1 }, b: 2 } c: 3", r#"{"a":1,"b":2,"c":3}"#),
        ("{ a: 1\n", r#"{"a":1}"#),
        ("{ { a: 1\n", r#"{"a":1}"#),
        ("a: 1 }", r#"{"a":1}"#),
        ("a: [{}]\n}\n", r#"{"a":[{}]}"#),
        ("} a: 1", "t.conf:1:1: unexpected '}': nothing is open that it could close"),
    ]);
}

/// `$name` stands for the value of the innermost key of that name that was written before.
/// Covers: TestNestedVariable, TestMissingVariable, TestBcryptVariable
#[test]
fn variables_stand_for_earlier_values() {
    check(&[
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
        ("a: '$b'\nb: \\\\$a", r#"{"a":"$b","b":"\\$a"}"#),
        (
            "a: $b",
            "t.conf:1:4: variable reference for 'b' on line 1 can not be found",
        ),
        (
            "a: $b\nb: 1",
            "t.conf:1:4: variable reference for 'b' on line 1 can not be found",
        ),
    ]);
}

/// What is wrong is told all at once, each finding once, and nothing but them.
#[test]
fn errors_do_not_hide_each_other() {
    check(&[
        ("a: 1 b: 2\n", "t.conf:1:6: Expected a top-level value to end with a new line, comment or EOF, but got 'b' instead."),
        (
            "a: .5\nb {\n c: -x\n d: 1 2\n e: [ .1, ok ]\n}\nf: 1\ng: $h\n",
            "t.conf:1:4: Floats must start with a digit\n\
             t.conf:3:6: Expected a digit but got 'x'.\n\
             t.conf:4:7: Expected a map value terminator \",\" or a map terminator \"}\", but got '2' instead.\n\
             t.conf:5:7: Floats must start with a digit\n\
             t.conf:8:4: variable reference for 'h' on line 8 can not be found",
        ),
        (
            "a x {\n b: 1\n}\nc: .5\n",
            "t.conf:1:5: Expected a top-level value to end with a new line, comment or EOF, but got '{' instead.\n\
             t.conf:4:4: Floats must start with a digit",
        ),
    ]);
}

/// Includes: beside the including file, with variables of their own, refused in a circle.
/// Covers: TestIncludes, TestMapInclude, TestParseWithNoValuesIncludes
#[test]
fn includes_bring_in_the_keys_of_a_file() {
    let files = [
        ("b.conf", "b: 1\nx: $b\n"),
        ("sub/c.conf", "include d.conf\nc: 1"),
        ("sub/d.conf", "d: 1"),
        ("loop.conf", "include \"sub/../t.conf\"\n"),
        ("no_value.conf", "AAAA"),
        ("bad.conf", "\n a: .5\n b: -x\n"),
        ("outer.conf", "y: $outside"),
    ];
    for (text, expected) in [
        ("a: 1\ninclude \"b.conf\"\ny: $b", r#"{"a":1,"b":1,"x":1,"y":1}"#),
        ("include 'b.conf'; a: 1", r#"{"a":1,"b":1,"x":1}"#),
        ("INCLUDE ./b.conf\n", r#"{"b":1,"x":1}"#),
        ("m { include b.conf }", r#"{"m":{"b":1,"x":1}}"#),
        ("m { include sub/c.conf; a: 1 }", r#"{"m":{"a":1,"c":1,"d":1}}"#),
        (
            "a { b { include 'no_value.conf'} }",
            "no_value.conf:1:1: config is invalid: key \"AAAA\" has no value",
        ),
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
            "bad.conf:2:5: Floats must start with a digit\n\
             bad.conf:3:6: Expected a digit but got 'x'.\n\
             t.conf:2:4: Floats must start with a digit",
        ),
        ("outside: 1\ninclude outer.conf", "outer.conf:1:4: variable reference for 'outside' on line 1 can not be found"),
        ("include {\n", "t.conf:1:9: Expected include value but found start of a map"),
    ] {
        let got = match parse(text.as_bytes(), &files, &[]) {
            Ok(map) => map.to_digest_json().trim_end().to_owned(),
            Err(errors) => errors.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n"),
        };
        assert_eq!(got, expected, "{text:?}");
    }
}

/// Variables of the environment are values of the language themselves.
/// Covers: TestEnvVariable, TestEnvVarReferencesEnvVar, TestEnvVarReferencesSelfCycle
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
            "t.conf:1:4: variable reference for 'LOOP' on line 1 could not be parsed: $LOOP:1:4: ",
        ),
        ("a: $LOOP", "variable reference cycle for 'LOOP'"),
        (
            "a: $BROKEN",
            "t.conf:1:4: variable reference for 'BROKEN' on line 1 could not be parsed: $BROKEN:1:6: Expected a top-level value",
        ),
    ] {
        let errors = parse(text.as_bytes(), &[], &env).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains(part), "{}", errors[0]);
    }
}

/// A variable that was used marks the key that defined it, in included files too.
/// Covers: TestIncludeVariablesWithChecks
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
