//! The objects below a prefix of S3, as sensors of kind `files` see them.
//!
//! [`crate::senses`] asks; nothing here decides which of them is new. The listing is read page by
//! page, in the order of the keys.

use std::time::{Duration, SystemTime};

use millstream_control::{FileSeen, SENSOR_FILES_MAX, path_matches};
use millstream_model::{FileQuestion, Timestamp, chain};
use millstream_outbound::{Answer, Aws, AwsService, Client, Method, Request, encoded};

/// How long one page of a listing may take.
const PAGE_TIME: Duration = Duration::from_secs(30);

/// The largest page, in bytes: a thousand keys of a thousand letters, percent-encoded.
const PAGE_MAX: usize = 8 << 20;

/// Pages of one listing; each has up to a thousand keys.
const PAGES_MAX: usize = 500;

/// How much of a refusal is shown.
const SAID_MAX: usize = 300;

/// The objects below the question's prefix that match and were last written before `until`, sorted
/// by their keys.
pub(crate) async fn objects(
    (client, aws): (&Client, &Aws),
    question: &FileQuestion,
    (until, now): (Timestamp, SystemTime),
) -> Result<Vec<FileSeen>, String> {
    let place = Place::of(&question.path);
    let pattern = question.pattern.as_deref().unwrap_or("**");
    let (mut found, mut token) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let page = place.page((client, aws), token.as_deref(), now).await?;
        for object in page.objects {
            let is_folder = object.path.is_empty() || object.path.ends_with('/');
            if is_folder || object.changed_at > until || !path_matches(pattern, &object.path) {
                continue;
            }
            if found.len() >= SENSOR_FILES_MAX {
                let limit = SENSOR_FILES_MAX;
                return Err(format!("more than {limit} objects match; choose a narrower prefix"));
            }
            found.push(object);
        }
        token = page.next;
        if token.is_none() {
            found.sort();
            return Ok(found);
        }
    }
    Err(format!("there are more than {PAGES_MAX} pages of objects; choose a narrower prefix"))
}

/// A prefix of a bucket.
struct Place<'q> {
    bucket: &'q str,
    /// Empty, or with `/` at its end.
    prefix: String,
}

/// A page of a listing.
#[derive(Debug, PartialEq)]
struct Page {
    objects: Vec<FileSeen>,
    next: Option<String>,
}

impl<'q> Place<'q> {
    /// The place that `s3://bucket/prefix` names.
    fn of(path: &'q str) -> Self {
        let rest = path.strip_prefix(FileQuestion::S3).unwrap_or(path);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { bucket, prefix }
    }

    async fn page(
        &self,
        (client, aws): (&Client, &Aws),
        token: Option<&str>,
        now: SystemTime,
    ) -> Result<Page, String> {
        let (endpoint, bucket) = (aws.endpoint(AwsService::S3), encoded(self.bucket, ""));
        let prefix = encoded(&self.prefix, "");
        let mut url = format!("{endpoint}/{bucket}?list-type=2&encoding-type=url&prefix={prefix}");
        if let Some(token) = token {
            url = format!("{url}&continuation-token={}", encoded(token, ""));
        }
        let headers = aws
            .signed(AwsService::S3, (Method::Get, &url), b"", now)
            .map_err(|error| error.to_string())?;
        let request = Request { method: Method::Get, url: &url, headers: &headers, body: None };
        let answer = client.within(PAGE_TIME, PAGE_MAX).send(request).await;
        let Answer { status, body, .. } = answer.map_err(|error| chain(&error))?;
        let text = String::from_utf8_lossy(&body);
        if status != 200 {
            let said: String = text.chars().take(SAID_MAX).collect();
            return Err(format!("s3://{} answered HTTP {status}: {said}", self.bucket));
        }
        self.read(&text)
    }

    /// The page that S3 wrote as XML. Its keys are percent-encoded, so that they hold no markup.
    fn read(&self, xml: &str) -> Result<Page, String> {
        if !xml.contains("<ListBucketResult") {
            return Err(format!("s3://{} answered with something else than a list", self.bucket));
        }
        let objects = xml.split("<Contents>").skip(1).map(|part| {
            let part = part.split("</Contents>").next().unwrap_or_default();
            self.object(part).ok_or_else(|| format!("the listing names an object as {part:?}"))
        });
        let next = element(xml, "NextContinuationToken").map(unescaped);
        Ok(Page { objects: objects.collect::<Result<_, _>>()?, next })
    }

    fn object(&self, part: &str) -> Option<FileSeen> {
        let key = decoded(&unescaped(element(part, "Key")?))?;
        Some(FileSeen {
            path: key.strip_prefix(&self.prefix)?.to_owned(),
            size: element(part, "Size")?.parse().ok()?,
            changed_at: serde_json::from_value(element(part, "LastModified")?.into()).ok()?,
        })
    }
}

/// The text of the first element called `name`.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn unescaped(text: &str) -> String {
    let quotes = text.replace("&quot;", "\"").replace("&apos;", "'");
    quotes.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The text that was percent-encoded as in a form.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_listing_is_read_with_keys_of_any_letters() {
        let xml = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Name>lake</Name>\
                   <Prefix>in/</Prefix><IsTruncated>true</IsTruncated><Contents>\
                   <Key>in/a%26b+%C3%BC%2Bc.csv</Key>\
                   <LastModified>2026-11-21T18:00:00.000Z</LastModified>\
                   <ETag>&quot;x&quot;</ETag><Size>12</Size></Contents><Contents><Key>in/</Key>\
                   <LastModified>2026-11-21T18:00:01Z</LastModified><Size>0</Size></Contents>\
                   <NextContinuationToken>a/b=&amp;c</NextContinuationToken></ListBucketResult>";
        let page = Place::of("s3://lake/in").read(xml).unwrap();
        let paths: Vec<&str> = page.objects.iter().map(|object| object.path.as_str()).collect();
        assert_eq!((paths, page.objects[0].size), (vec!["a&b ü+c.csv", ""], 12));
        assert_eq!(page.next.as_deref(), Some("a/b=&c"));
        for wrong in ["", "<html></html>", "<ListBucketResult><Contents></Contents>"] {
            assert!(Place::of("s3://lake").read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_a_folder_and_may_be_left_out() {
        for (path, prefix) in [("s3://b", ""), ("s3://b/", ""), ("s3://b/in", "in/")] {
            let place = Place::of(path);
            assert_eq!((place.bucket, place.prefix.as_str()), ("b", prefix), "{path}");
        }
    }
}
