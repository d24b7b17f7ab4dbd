use super::*;
use zeitwork_outbound::reqwest::header::HeaderValue;

fn to(text: &str) -> Result<String, String> {
    let asked = Url::parse("https://git.test/old/info/refs?service=git-upload-pack").unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_str(text).unwrap());
    location(&asked, &headers).map(String::from).map_err(|error| error.to_string())
}

#[test]
fn a_redirect_leads_to_a_repository_or_nowhere() {
    let end = "info/refs?service=git-upload-pack";
    assert_eq!(to(&format!("https://git.test/new/{end}")), Ok("https://git.test/new".to_owned()));
    assert_eq!(to(&format!("/new/{end}")), Ok("https://git.test/new".to_owned()));
    assert_eq!(to(&format!("//other.test/new/{end}")), Ok("https://other.test/new".to_owned()));
    for elsewhere in [
        "https://git.test/login",
        "https://git.test/new/info/refs",
        "https://git.test/new/info/refs?service=git-receive-pack",
        "https://git.test/new/info/refs?service=git-upload-pack&x=1",
        "http://[",
    ] {
        assert!(to(elsewhere).is_err(), "{elsewhere}");
    }
}

#[tokio::test]
async fn git_is_held_to_the_checked_address() {
    let guard = Guard::new(vec![], vec!["localhost:8080".parse().unwrap()]);
    let repository = Repository::check("http://localhost:8080/a/b", &guard).await.unwrap();
    let settings = repository.settings();
    assert!(settings.contains(&("protocol.http.allow".to_owned(), "always".to_owned())));
    let (_, pinned) = settings.iter().find(|(key, _)| key == "http.curloptResolve").unwrap();
    assert!(pinned.starts_with("localhost:8080:"), "{pinned}");
    assert!(pinned.contains("127.0.0.1") || pinned.contains("[::1]"), "{pinned}");
}
