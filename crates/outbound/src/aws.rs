//! Requests to AWS: where a service is, who asks, and the signature (version 4) that proves it.
//!
//! Whoever sends a request asks [`Aws::signed`] for its headers. Who asks is read from the
//! variables of AWS's own tools alone; another source of credentials fills the same [`Aws`].
//!
//! **Invariant.** No key is ever shown.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;

use crate::{Method, shown_url};

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const REGIONS: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// The region when no variable names one.
const REGION: &str = "us-east-1";

/// What is known of an account in AWS: its keys, its region and the addresses of its services.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Aws(BTreeMap<String, String>);

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsService {
    /// Functions.
    Lambda,
    /// Objects.
    S3,
}

/// A request to AWS cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// Nobody is there to ask in the name of.
    #[error("there are no credentials for AWS; set {KEY_ID} and {SECRET_KEY} for the server")]
    NoCredentials,
    /// The request is none.
    #[error("the request to {url} cannot be signed: {problem}")]
    Unsignable {
        /// Where it should have gone.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl AwsService {
    /// Its name in addresses and signatures.
    fn word(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::S3 => "s3",
        }
    }

    /// The variable that holds its address.
    fn endpoint_variable(self) -> &'static str {
        match self {
            Self::Lambda => "AWS_ENDPOINT_URL_LAMBDA",
            Self::S3 => "AWS_ENDPOINT_URL_S3",
        }
    }

    fn settings(self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self == Self::S3 {
            // S3 takes the path as it comes, and wants the hash of the content beside it.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

impl Aws {
    /// The variables that say all of it.
    pub const VARIABLES: &[&str] = &[
        KEY_ID,
        SECRET_KEY,
        SESSION_TOKEN,
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        ENDPOINT,
        "AWS_ENDPOINT_URL_LAMBDA",
        "AWS_ENDPOINT_URL_S3",
    ];

    /// Takes the variable `name`, if it is one of these and says something.
    pub fn take(&mut self, name: &str, value: String) {
        if Self::VARIABLES.contains(&name) && !value.is_empty() {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// What the addresses of a service begin with.
    pub fn endpoint(&self, service: AwsService) -> String {
        let own = self.get(service.endpoint_variable()).or_else(|| self.get(ENDPOINT));
        match own {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("https://{}.{}.amazonaws.com", service.word(), self.region()),
        }
    }

    /// The headers that sign the request for `body` to be sent to `url` now.
    pub fn signed(
        &self,
        service: AwsService,
        (method, url): (Method, &str),
        body: &[u8],
        now: SystemTime,
    ) -> Result<Vec<(&'static str, String)>, AwsError> {
        let unsignable = |problem: String| AwsError::Unsignable { url: shown_url(url), problem };
        let identity = self.credentials()?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region())
            .name(service.word())
            .time(now)
            .settings(service.settings())
            .build()
            .map_err(|error| unsignable(error.to_string()))?
            .into();
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new(method.as_str(), url, std::iter::empty(), body)
            .map_err(|error| unsignable(error.to_string()))?;
        let signed = sign(request, &params).map_err(|error| unsignable(error.to_string()))?;
        let (headers, _) = signed.into_parts().0.into_parts();
        Ok(headers.iter().map(|header| (header.name(), header.value().to_owned())).collect())
    }

    fn credentials(&self) -> Result<Credentials, AwsError> {
        let (Some(id), Some(secret)) = (self.get(KEY_ID), self.get(SECRET_KEY)) else {
            return Err(AwsError::NoCredentials);
        };
        let token = self.get(SESSION_TOKEN).map(str::to_owned);
        Ok(Credentials::new(id, secret, token, None, "environment"))
    }

    fn region(&self) -> &str {
        REGIONS.iter().find_map(|name| self.get(name)).unwrap_or(REGION)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// `text` with all but unreserved characters and those of `kept` percent-encoded, as AWS signs it.
pub fn encoded(text: &str, kept: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if is_plain || kept.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn aws(variables: &[(&str, &str)]) -> Aws {
        let mut aws = Aws::default();
        for (name, value) in variables {
            aws.take(name, (*value).to_owned());
        }
        aws
    }

    #[test]
    fn a_service_is_where_its_variable_says_or_in_the_region() {
        let plain = aws(&[("AWS_DEFAULT_REGION", "eu-central-1")]);
        let url = plain.endpoint(AwsService::Lambda);
        assert_eq!(url, "https://lambda.eu-central-1.amazonaws.com");
        let own = aws(&[
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "http://localhost:4566/"),
            ("AWS_ENDPOINT_URL_S3", "http://localhost:9000"),
        ]);
        assert_eq!(own.endpoint(AwsService::Lambda), "http://localhost:4566");
        assert_eq!(own.endpoint(AwsService::S3), "http://localhost:9000");
    }

    #[test]
    fn a_signature_is_the_one_that_botocore_makes_of_the_same_request() {
        let keys = aws(&[
            (KEY_ID, "AKIDEXAMPLE"),
            (SECRET_KEY, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        ]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_mins(24_015_636);
        let lambda =
            "https://lambda.us-east-1.amazonaws.com/2015-03-31/functions/a%3Ab/invocations";
        let s3 = "https://s3.us-east-1.amazonaws.com/bucket/results/a%20b.json";
        for (service, method, url, signature) in [
            (
                AwsService::Lambda,
                Method::Post,
                lambda,
                "c81e7e56d24975cc577edc52439cbf54e30b20bba02575b381c5baa4ed844d4b",
            ),
            (
                AwsService::S3,
                Method::Put,
                s3,
                "95ef24ec6fc0f694e232fa9957381c5cc536a97030b2d1d7496ca37da282df98",
            ),
        ] {
            let headers = keys.signed(service, (method, url), b"{}", now).unwrap();
            let authorization = &headers.iter().find(|it| it.0 == "authorization").unwrap().1;
            assert!(authorization.ends_with(signature), "{authorization}");
        }
    }

    #[test]
    fn without_keys_the_error_names_their_variables_and_no_key_is_shown() {
        let lonely = aws(&[(KEY_ID, "AKIDEXAMPLE")]);
        let request = (Method::Get, "https://s3.us-east-1.amazonaws.com/b/k");
        let error =
            lonely.signed(AwsService::S3, request, b"", SystemTime::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains(SECRET_KEY), "{error}");
        assert_eq!(format!("{lonely:?}"), r#"{"AWS_ACCESS_KEY_ID"}"#);
    }

    #[test]
    fn what_aws_signs_encoded_is_encoded() {
        assert_eq!(encoded("results/a b+ü.json", "/"), "results/a%20b%2B%C3%BC.json");
        let arn = "arn:aws:lambda:eu-west-1:1:function:x";
        assert_eq!(encoded(arn, ""), "arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Ax");
    }
}
