//! Hugging Face's `tokenizers` and `safetensors` behind the C ABI of hf.h, which documents every function and type here.
//! No panic leaves this library: each entry point runs inside `guarded` and reports it as an error string.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::ptr;
use std::slice;

use safetensors::tensor::{serialize, Dtype, SafeTensors, View};
use tokenizers::tokenizer::PostProcessor;
use tokenizers::{Tokenizer, TruncationDirection};

/// A tokenizer without truncation and padding, and how many special tokens it puts around one text.
pub struct HfTokenizer {
    tokenizer: Tokenizer,
    special_tokens: usize,
}

#[repr(C)]
pub struct HfIds {
    ids: *mut u32,
    size: usize,
    token_count: usize,
}

pub struct HfSafetensors {
    tensors: Vec<Entry>,
}

struct Entry {
    name: CString,
    dtype: CString,
    shape: Vec<usize>,
    begin: usize,
    size: usize,
}

#[repr(C)]
pub struct HfTensor {
    name: *const c_char,
    dtype: *const c_char,
    shape: *const usize,
    rank: usize,
    begin: usize,
    size: usize,
}

#[repr(C)]
pub struct HfFloatTensor {
    name: *const c_char,
    name_size: usize,
    shape: *const usize,
    rank: usize,
    values: *const f32,
}

type Outcome = Result<(), String>;

/// Null when `work` went well; otherwise an error string that the caller frees.
fn guarded(work: impl FnOnce() -> Outcome) -> *mut c_char {
    let message = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return ptr::null_mut(),
        Ok(Err(message)) => message,
        Err(panic) => format!("internal error: {}", panic_text(panic.as_ref())),
    };
    let bytes: Vec<u8> = message.into_bytes().into_iter().filter(|byte| *byte != 0).collect();
    CString::new(bytes).map_or(ptr::null_mut(), CString::into_raw)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "panic"
    }
}

/// SAFETY: `data` points to `size` readable bytes, or `size` is 0.
unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        &[]
    } else {
        slice::from_raw_parts(data, size)
    }
}

/// SAFETY: as `bytes`.
unsafe fn utf8<'a>(what: &str, data: *const u8, size: usize) -> Result<&'a str, String> {
    std::str::from_utf8(bytes(data, size))
        .map_err(|error| format!("{what} is not UTF-8: bad byte at offset {}", error.valid_up_to()))
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_free_error(error: *mut c_char) {
    if !error.is_null() {
        drop(CString::from_raw(error));
    }
}

// ---- tokenizer

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_tokenizer_load(
    json: *const u8,
    size: usize,
    out: *mut *mut HfTokenizer,
) -> *mut c_char {
    guarded(|| {
        let mut tokenizer = Tokenizer::from_bytes(bytes(json, size)).map_err(|error| error.to_string())?;
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        let special_tokens = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        *out = Box::into_raw(Box::new(HfTokenizer { tokenizer, special_tokens }));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_tokenizer_free(tokenizer: *mut HfTokenizer) {
    if !tokenizer.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(tokenizer))));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_tokenizer_special_tokens(tokenizer: *const HfTokenizer) -> usize {
    (*tokenizer).special_tokens
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_tokenizer_max_id(tokenizer: *const HfTokenizer, out: *mut u32) -> *mut c_char {
    guarded(|| {
        *out = (*tokenizer).tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_tokenizer_encode(
    tokenizer: *const HfTokenizer,
    prompt: *const u8,
    prompt_size: usize,
    text: *const u8,
    text_size: usize,
    max_length: usize,
    truncate_start: c_int,
    out: *mut HfIds,
) -> *mut c_char {
    guarded(|| {
        let prompt = utf8("the prompt", prompt, prompt_size)?;
        let text = utf8("the text", text, text_size)?;
        let input: Cow<str> = if prompt.is_empty() { Cow::Borrowed(text) } else { Cow::Owned([prompt, text].concat()) };
        let (ids, token_count) = encode(&*tokenizer, &input, max_length, truncate_start != 0)?;
        let ids = ids.into_boxed_slice();
        let size = ids.len();
        *out = HfIds { ids: Box::into_raw(ids).cast::<u32>(), size, token_count };
        Ok(())
    })
}

/// What `Tokenizer::encode` does with truncation switched on, but it also tells the length before truncation, and truncation
/// differs from call to call on a shared tokenizer.
fn encode(
    shared: &HfTokenizer,
    input: &str,
    max_length: usize,
    truncate_start: bool,
) -> Result<(Vec<u32>, usize), String> {
    let room = max_length.checked_sub(shared.special_tokens).ok_or_else(|| {
        format!("max_length {max_length}: must be at least {}, the number of special tokens", shared.special_tokens)
    })?;
    let mut encoding = shared.tokenizer.encode_fast(input, false).map_err(|error| error.to_string())?;
    let token_count = encoding.len() + shared.special_tokens;
    let direction = if truncate_start { TruncationDirection::Left } else { TruncationDirection::Right };
    encoding.truncate(room, 0, direction);
    encoding.take_overflowing();
    let encoding = shared.tokenizer.post_process(encoding, None, true).map_err(|error| error.to_string())?;
    Ok((encoding.get_ids().to_vec(), token_count))
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_free_ids(ids: HfIds) {
    if !ids.ids.is_null() {
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(ids.ids, ids.size)));
    }
}

// ---- safetensors

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_safetensors_parse(
    file: *const u8,
    size: usize,
    out: *mut *mut HfSafetensors,
) -> *mut c_char {
    guarded(|| {
        let file = bytes(file, size);
        let parsed = SafeTensors::deserialize(file).map_err(|error| error.to_string())?;
        let mut tensors = Vec::with_capacity(parsed.len());
        for (name, view) in parsed.iter() {
            let data = view.data();
            // An empty view may point anywhere; it has no bytes to offer.
            let begin = if data.is_empty() { 0 } else { data.as_ptr() as usize - file.as_ptr() as usize };
            tensors.push(Entry {
                name: CString::new(name).map_err(|_| format!("the name of tensor {name:?} holds a NUL"))?,
                dtype: CString::new(format!("{:?}", view.dtype())).map_err(|error| error.to_string())?,
                shape: view.shape().to_vec(),
                begin,
                size: data.len(),
            });
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        *out = Box::into_raw(Box::new(HfSafetensors { tensors }));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_safetensors_free(header: *mut HfSafetensors) {
    if !header.is_null() {
        drop(Box::from_raw(header));
    }
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_safetensors_count(header: *const HfSafetensors) -> usize {
    (&(*header).tensors).len()
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_safetensors_at(
    header: *const HfSafetensors,
    index: usize,
    out: *mut HfTensor,
) -> *mut c_char {
    guarded(|| {
        let tensors = &(*header).tensors;
        let entry = tensors.get(index).ok_or_else(|| format!("tensor {index}: there are {}", tensors.len()))?;
        *out = HfTensor {
            name: entry.name.as_ptr(),
            dtype: entry.dtype.as_ptr(),
            shape: entry.shape.as_ptr(),
            rank: entry.shape.len(),
            begin: entry.begin,
            size: entry.size,
        };
        Ok(())
    })
}

struct FloatView<'a> {
    shape: Vec<usize>,
    data: &'a [u8],
}

impl View for FloatView<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

#[no_mangle]
pub unsafe extern "C" fn tandem_hf_safetensors_write(
    path: *const u8,
    path_size: usize,
    tensors: *const HfFloatTensor,
    count: usize,
) -> *mut c_char {
    guarded(|| {
        let path = utf8("the path", path, path_size)?;
        let tensors = if count == 0 { &[] } else { slice::from_raw_parts(tensors, count) };
        let mut views = Vec::with_capacity(count);
        for tensor in tensors {
            let name = utf8("a tensor's name", tensor.name.cast::<u8>(), tensor.name_size)?;
            let shape = if tensor.rank == 0 { vec![] } else { slice::from_raw_parts(tensor.shape, tensor.rank).to_vec() };
            let size = shape.iter().product::<usize>() * std::mem::size_of::<f32>();
            views.push((name, FloatView { shape, data: bytes(tensor.values.cast::<u8>(), size) }));
        }
        // transformers refuses a file that does not say which framework's conventions it follows.
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        // Not serialize_to_file: it goes through a temporary name and system calls of its own, past the C library, where
        // the tests that record every step on the disk do not see them. The directory is a staging one anyway.
        let content = serialize(views, Some(metadata)).map_err(|error| error.to_string())?;
        std::fs::write(Path::new(path), content).map_err(|error| error.to_string())
    })
}
