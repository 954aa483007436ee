//! A type of which libraries serve single groups and something else, usually scripts, the rest.

use crate::{Library, handlers::Native};
use bytes::Bytes;
use chathost_core::{
    app::App,
    error::{CallError, Reply},
    handler::{GlobalRequest, HandlerFactory, Handlers, LoadError, Manifest, Method, MethodId, Request},
    session::BackendSession,
};
use futures_util::future::{LocalBoxFuture, ready};
use std::{collections::BTreeMap, rc::Rc, sync::Arc};

/// Groups by the library that serves them, and what serves the others.
#[derive(Debug)]
pub struct Mixed {
    rest: Arc<dyn HandlerFactory>,
    groups: BTreeMap<String, Arc<Library>>,
}

impl Mixed {
    /// `groups`: `chatHandler` and the library that replaces it. All else of `rest` stays.
    pub fn new(rest: Arc<dyn HandlerFactory>, groups: BTreeMap<String, Arc<Library>>) -> Self {
        Self { rest, groups }
    }
}

impl HandlerFactory for Mixed {
    fn hash(&self) -> String {
        let mut all = self.rest.hash();
        for (group, library) in &self.groups {
            all.push_str(group);
            all.push_str(library.hash());
        }
        let digest = md5::compute(all).0;
        digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }

    fn build(&self, app: &Rc<App>, number: u64) -> Result<Rc<dyn Handlers>, LoadError> {
        let rest = self.rest.build(app, number)?;
        // A library that serves several groups is one instance.
        let mut natives: Vec<(&Arc<Library>, Rc<Native>, Vec<&str>)> = Vec::new();
        for (group, library) in &self.groups {
            match natives
                .iter_mut()
                .find(|(of, ..)| Arc::ptr_eq(of, library) || of.path() == library.path())
            {
                Some((.., groups)) => groups.push(group),
                None => natives.push((
                    library,
                    Rc::new(Native::build(library, app, number)?),
                    vec![group],
                )),
            }
        }
        let mut methods: Vec<(Method, Part, MethodId)> = Vec::new();
        for (id, method) in rest.manifest().methods().iter().enumerate() {
            if !self.groups.contains_key(&method.group) {
                methods.push((method.clone(), Part::Rest, id));
            }
        }
        let mut problems = Vec::new();
        for (part, (library, native, groups)) in natives.iter().enumerate() {
            for group in groups {
                let own = native.manifest().methods().iter().enumerate();
                let before = methods.len();
                methods.extend(
                    own.filter(|(_, method)| method.group == *group)
                        .map(|(id, method)| (method.clone(), Part::Native(part), id)),
                );
                if methods.len() == before {
                    problems.push(format!(
                        "{}: it declares nothing in the group {group}; correct config/handlers.json",
                        library.path().display()
                    ));
                }
            }
        }
        if !problems.is_empty() {
            return Err(LoadError { problems });
        }
        let places = methods.iter().map(|(_, part, id)| (*part, *id)).collect();
        let methods = methods.into_iter().map(|(method, ..)| method).collect();
        Ok(Rc::new(MixedHandlers {
            manifest: Manifest::new(app.server_type(), methods),
            places,
            rest,
            natives: natives.into_iter().map(|(_, native, _)| native).collect(),
        }))
    }
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Rest,
    Native(usize),
}

#[derive(Debug)]
struct MixedHandlers {
    manifest: Manifest,
    places: Vec<(Part, MethodId)>,
    rest: Rc<dyn Handlers>,
    natives: Vec<Rc<Native>>,
}

impl MixedHandlers {
    fn find(&self, method: MethodId) -> Option<(&dyn Handlers, MethodId)> {
        let (part, id) = self.places.get(method)?;
        Some(match part {
            Part::Rest => (&*self.rest, *id),
            Part::Native(part) => (&**self.natives.get(*part)?, *id),
        })
    }

    fn parts(&self) -> impl Iterator<Item = &dyn Handlers> {
        let natives = self.natives.iter().map(|native| &**native as &dyn Handlers);
        std::iter::once(&*self.rest).chain(natives)
    }
}

impl Handlers for MixedHandlers {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn handle(&self, mut request: Request) -> LocalBoxFuture<'static, Reply> {
        let Some((part, method)) = self.find(request.method) else {
            return Box::pin(ready(Reply::unhandled()));
        };
        request.method = method;
        part.handle(request)
    }

    fn invoke(&self, method: MethodId, args: Bytes) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        match self.find(method) {
            Some((part, method)) => part.invoke(method, args),
            None => Box::pin(ready(Err(CallError::failed("no such method")))),
        }
    }

    fn notice(
        &self,
        module: &str,
        function: &str,
        session: Rc<BackendSession>,
        reason: &str,
    ) -> LocalBoxFuture<'static, ()> {
        let native = self.natives.iter().find(|native| native.listens(function));
        let part = native.map_or(&*self.rest, |native| &**native as &dyn Handlers);
        part.notice(module, function, session, reason)
    }

    fn selftest(&self) -> Result<(), LoadError> {
        self.parts().try_for_each(Handlers::selftest)
    }

    /// The first part that has something to say speaks for all.
    fn export_state(&self) -> Result<Option<Bytes>, LoadError> {
        for part in self.parts() {
            if let Some(state) = part.export_state()? {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    fn import_state(&self, state: Bytes) -> Result<(), LoadError> {
        self.parts().try_for_each(|part| part.import_state(state.clone()))
    }

    fn retire(&self) {
        self.parts().for_each(Handlers::retire);
    }

    fn pending(&self) -> usize {
        self.parts().map(Handlers::pending).sum()
    }

    fn end(&self) {
        self.parts().for_each(Handlers::end);
    }

    fn memory(&self) -> Option<(usize, usize)> {
        self.rest.memory()
    }

    fn has_global_filters(&self) -> bool {
        self.parts().any(Handlers::has_global_filters)
    }

    fn global_before(&self, request: GlobalRequest) -> LocalBoxFuture<'static, Result<Bytes, Reply>> {
        let (rest, natives) = (self.rest.clone(), self.natives.clone());
        Box::pin(async move {
            let mut request = request;
            request.body = rest.global_before(request.clone()).await?;
            for native in natives {
                request.body = native.global_before(request.clone()).await?;
            }
            Ok(request.body)
        })
    }

    fn global_after(&self, request: GlobalRequest, reply: Reply) -> LocalBoxFuture<'static, ()> {
        let (rest, natives) = (self.rest.clone(), self.natives.clone());
        Box::pin(async move {
            for native in natives.iter().rev() {
                native.global_after(request.clone(), reply.clone()).await;
            }
            rest.global_after(request, reply).await;
        })
    }
}
