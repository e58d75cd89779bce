//! What a request may carry before anybody looks at it.
//!
//! wasi:http keeps the method and the authority of a request in the host's memory, as long as the
//! call that set them may be. A thousand requests that are never sent would be gigabytes there, and
//! no limit of the sandbox's own would notice.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest, Method, OutgoingRequest};

use super::sandbox::Sandbox;

/// Bytes of a method or an authority. A name has at most 253 (RFC 1035, 2.3.4).
const TEXT_BYTES_MAX: usize = 1_024;

const TYPES: &str = "wasi:http/types@0.2.12";

/// Puts a limit in front of wasi:http's own setters, which are linked already.
pub(super) fn limit(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, Sandbox>,
         (request, method): (Resource<OutgoingRequest>, Method)| {
            if matches!(&method, Method::Other(name) if name.len() > TEXT_BYTES_MAX) {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            http.set_method(request, method).map(|set| (set,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, Sandbox>,
         (request, authority): (Resource<OutgoingRequest>, Option<String>)| {
            if authority
                .as_ref()
                .is_some_and(|text| text.len() > TEXT_BYTES_MAX)
            {
                return Ok((Err(()),));
            }
            let mut http = store.data_mut().http();
            http.set_authority(request, authority).map(|set| (set,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
