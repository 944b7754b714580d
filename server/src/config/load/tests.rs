//! Whole files: options, digest, and what `-t` answers.

use super::*;

fn loaded(text: &'static str) -> Result<Loaded, Vec<Diagnostic>> {
    let read = move |path: &Path| match path.to_str() {
        Some("t.conf") => Ok(text.as_bytes().to_vec()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    load(Path::new("t.conf"), &read, &|_: &str| None)
}

fn checked(text: &'static str) -> Result<String, String> {
    check(Path::new("t.conf"), &loaded(text))
}

/// The hash of values is the one that the peer prints for the same file, whatever its spelling.
/// Covers: TestParseDigest, TestParseFileWithChecksDigestPreservesConfigKeyUsedAsVariable
#[test]
fn digest_is_the_peers() {
    for (text, digest) in [
        // Printed by the peer's `-t`.
        (
            "port = 4333\nmonitor_port = $port\n",
            "6bb60bea8021361ec74e8eb60ea90abaa875330bb793267053c053bbc9ec7544",
        ),
        (
            "# x\n\"monitor_port\" 4333; port: 4333",
            "6bb60bea8021361ec74e8eb60ea90abaa875330bb793267053c053bbc9ec7544",
        ),
        (
            "server_tags: [a,b]\n",
            "e09a48bacda8a05513e0da3231f1cef15d6c5fc6831f9a9b17c803c10209238c",
        ),
        (
            "server_tags: [1k]\n",
            "f811c8c20d87b6e8d75f755ca21959d76c12736d8698bd4b6285d0ff51d42313",
        ),
        (
            "{ port: 4222 }",
            "797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e",
        ),
        (
            "server_metadata = { \"a\" = \"b\" , }\n",
            "113b27a94f901e800d48485b730b42b11dfdd8bb6a48aa6221bf11ce091d836a",
        ),
    ] {
        assert_eq!(
            loaded(text).unwrap().digest,
            format!("sha256:{digest}"),
            "{text:?}"
        );
    }
}

/// The answer of `-t`, byte for byte where the peer's places are ours: behind the first line, where it counts columns
/// from 0 and this from 1.
#[test]
fn check_says_what_the_peer_says() {
    let digest = "797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e";
    for (text, valid, answer) in [
        (
            "port 4222",
            true,
            format!("configuration file t.conf is valid (sha256:{digest})"),
        ),
        ("", false, "t.conf: config has no values or is empty".to_owned()),
        (
            "\nfoo: 1\n",
            false,
            "t.conf:2:1: unknown field \"foo\"".to_owned(),
        ),
        (
            "\nfoo: 1\n\n ping_interval: 5\n",
            false,
            "t.conf:4:2: invalid use of field \"ping_interval\": ping_interval should be converted to a \
             duration\nt.conf:2:1: unknown field \"foo\""
                .to_owned(),
        ),
    ] {
        let expected = if valid { Ok(answer) } else { Err(answer) };
        assert_eq!(checked(text), expected, "{text:?}");
    }
    let missing = load(
        Path::new("nope.conf"),
        &|_: &Path| Err(std::io::ErrorKind::NotFound.into()),
        &|_: &str| None,
    );
    assert_eq!(
        check(Path::new("nope.conf"), &missing),
        Err("open nope.conf: no such file or directory".to_owned())
    );
}

/// A key without effect is told and does not spoil the check.
#[test]
fn notices_do_not_fail_the_check() {
    let answer = checked("port: 4222\nprof_port: 6060\n").unwrap();
    let (verdict, notice) = answer.split_once('\n').unwrap();
    assert!(
        verdict.starts_with("configuration file t.conf is valid (sha256:"),
        "{verdict}"
    );
    assert!(
        notice.starts_with("t.conf:2:1: prof_port has no effect in this version of Pinion: "),
        "{notice}"
    );
    assert_eq!(loaded("max_payload: 9MB\n").unwrap().warnings.len(), 1);
}

/// Contradictions between settings name the place of one of them.
#[test]
fn contradictions_have_a_place() {
    let errors = loaded("port: 1\nmax_pending: 1MB\nmax_payload: 2MB\n").unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "t.conf:3:1: max_payload (2097152) cannot be higher than max_pending (1048576)"
    );
}

/// Flags merged over the file win, and the rest of the file stays.
/// Covers: TestMergeOverrides
#[test]
fn flags_win_over_the_file() {
    let mut raw = loaded("port: 1\ndebug: true\n").unwrap().raw;
    raw.merge(RawOptions {
        port: Some(2),
        ..RawOptions::default()
    });
    let options = raw.resolve().unwrap();
    assert_eq!((options.client.port, options.log.debug), (2, true));
}
