//! Calls of other servers' remotes.

use super::bad;
use crate::instance::{Instance, finish, tell};
use chathost_abi::{CODE_GONE, Done, Rpc};
use chathost_core::{
    envelope::ServerId,
    error::CallError,
    rpc::{self, RouteParam},
};
use std::{rc::Rc, sync::Arc};

impl Instance {
    /// Calls another server's remote; without `done.call` nobody waits for it.
    pub(crate) fn rpc(self: &Rc<Self>, rpc: &Rpc, done: Done) {
        if self.has_ended() {
            return finish(done, CODE_GONE, b"the instance is being destroyed");
        }
        // SAFETY: the bytes of a call are there during the call that hands it over, and that is this one.
        let (method, args) = unsafe { (crate::ffi::text(rpc.method), crate::ffi::bytes(rpc.args)) };
        let (method, args): (Arc<str>, _) = (method.into(), bytes::Bytes::copy_from_slice(args));
        let to = match self.target(rpc) {
            Ok(to) => to,
            Err(error) => return tell(done, Err(error)),
        };
        if done.call.is_none() {
            if let Err(error) = rpc::notify(&self.app, &to, method, args) {
                tracing::warn!(library = self.library(), %to, %error, "a call did not leave");
            }
            return;
        }
        let app = self.app.clone();
        self.later(done, async move {
            rpc::call(&app, &to, method, args).await.map(Into::into)
        });
    }

    fn target(&self, rpc: &Rpc) -> Result<ServerId, CallError> {
        // SAFETY: as above.
        let (server_type, id, param) = unsafe {
            (
                crate::ffi::text(rpc.server_type),
                crate::ffi::text(rpc.server_id),
                crate::ffi::bytes(rpc.param),
            )
        };
        if !id.is_empty() {
            return Ok((&*id).into());
        }
        let param = match self.session(rpc.session) {
            Some(session) => RouteParam::Session(session),
            None if rpc.session != 0 => return Err(bad("there is no such session handle".to_owned())),
            None if param.is_empty() => RouteParam::Value(serde_json::Value::Null),
            None => RouteParam::Value(
                serde_json::from_slice(param).map_err(|error| bad(format!("param is no JSON: {error}")))?,
            ),
        };
        self.app.router.pick(&self.app, &server_type, &param)
    }
}
