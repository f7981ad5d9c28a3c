//! References: a name, a full id, or a unique prefix of an id.

use banger_api::{ApiError, ErrorCode, suggest};
use banger_store::{ImageRecord, KernelRecord, VmRecord, image, kernel, vm};

use crate::Control;

/// Fewest digits of an id that may stand for it.
const PREFIX_MIN: usize = 4;

/// The VM that `reference` names.
///
/// # Errors
/// `not_found` with the nearest name; `ambiguous` with the candidates.
pub fn find_vm(control: &Control, reference: &str) -> Result<VmRecord, ApiError> {
    if let Some(record) = control.read(|db| vm::by_name(db, reference))? {
        return Ok(record);
    }
    let all = control.read(vm::list)?;
    pick(reference, all)
}

fn pick(reference: &str, all: Vec<VmRecord>) -> Result<VmRecord, ApiError> {
    let wanted = reference.to_ascii_lowercase();
    let matches = |vm: &VmRecord| vm.id.to_string().starts_with(&wanted);
    let mut found: Vec<VmRecord> = match wanted.len() >= PREFIX_MIN {
        true => all.iter().filter(|vm| matches(vm)).cloned().collect(),
        false => Vec::new(),
    };
    match (found.pop(), found.len()) {
        (Some(record), 0) => Ok(record),
        (Some(last), _) => {
            let mut names: Vec<String> = found.iter().map(|vm| vm.name.to_string()).collect();
            names.push(last.name.to_string());
            let message = format!("\"{reference}\" could be any of {}", names.join(", "));
            Err(ApiError::new(ErrorCode::Ambiguous, message)
                .hint("use the name, or more digits of the id"))
        }
        (None, _) => {
            let names: Vec<&str> = all.iter().map(|vm| vm.name.as_str()).collect();
            let hint = suggest::hint(
                reference,
                &names,
                "there is no VM yet: banger vm run makes one",
            );
            Err(ApiError::new(
                ErrorCode::NotFound,
                format!("no VM is called \"{reference}\""),
            )
            .hint(hint))
        }
    }
}

/// The image that `name` names.
///
/// # Errors
/// `not_found` with the nearest name.
pub fn find_image(control: &Control, name: &str) -> Result<ImageRecord, ApiError> {
    if let Some(record) = control.read(|db| image::by_name(db, name))? {
        return Ok(record);
    }
    let all = control.read(image::list)?;
    let mut names: Vec<&str> = all.iter().map(|image| image.name.as_str()).collect();
    names.extend(
        control
            .environment()
            .recipes()
            .into_iter()
            .filter(|recipe| !all.iter().any(|image| image.name.as_str() == *recipe)),
    );
    let hint = suggest::hint(name, &names, "");
    Err(ApiError::new(
        ErrorCode::NotFound,
        format!("no image is called \"{name}\""),
    )
    .hint(hint))
}

/// The kernel that `name` names.
///
/// # Errors
/// `not_found` with the nearest name.
pub fn find_kernel(control: &Control, name: &str) -> Result<KernelRecord, ApiError> {
    if let Some(record) = control.read(|db| kernel::by_name(db, name))? {
        return Ok(record);
    }
    let all = control.read(kernel::list)?;
    let names: Vec<&str> = all.iter().map(|kernel| kernel.name.as_str()).collect();
    let hint = suggest::hint(name, &names, "there is no kernel yet: banger kernel import");
    Err(ApiError::new(
        ErrorCode::NotFound,
        format!("no kernel is called \"{name}\""),
    )
    .hint(hint))
}
