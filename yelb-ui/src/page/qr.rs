//! The QR code by which phones reach the page.

use qrcode::render::svg::Color;
use qrcode::types::QrError;
use qrcode::{EcLevel, QrCode};

/// A picture of the address, with the quiet zone that readers need.
///
/// The code has the lowest level of error correction. A screen has no damage to correct, and the modules are fewer and larger.
pub(super) fn svg(address: &str) -> Result<String, QrError> {
    let code = QrCode::with_error_correction_level(address, EcLevel::L)?;
    let mut picture = code.render::<Color<'_>>();
    Ok(picture.module_dimensions(1, 1).build())
}
