//! What is sent to a CA to be signed?

use rcgen::{CertificateParams, DistinguishedName, SanType};
use renewal::names::Names;
use renewal::secret::Secret;

use crate::key::{self, KeyError};
use crate::pem;

/// Makes a certificate request (PKCS #10) in DER, for `names` and signed by `key`.
///
/// It carries no subject: every CA takes the names from the alternative names (RFC 8555 section 7.4), and a common
/// name has only 64 characters.
///
/// # Errors
///
/// When the key cannot be used.
pub fn request(key: &Secret, names: &Names) -> Result<Vec<u8>, KeyError> {
    let pair = key::read(key)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.address() {
            Some(address) => Ok(SanType::IpAddress(address)),
            None => name.as_str().try_into().map(SanType::DnsName),
        })
        .collect::<Result<_, _>>()
        .map_err(|_| KeyError::Request)?;
    let request = params
        .serialize_request(&*pair)
        .map_err(|_| KeyError::Request)?;
    Ok(request.der().to_vec())
}

/// Makes the same request as PEM, for those who keep it as text.
///
/// # Errors
///
/// As [`request`].
pub fn request_pem(key: &Secret, names: &Names) -> Result<String, KeyError> {
    Ok(pem::encode("CERTIFICATE REQUEST", &request(key, names)?))
}
