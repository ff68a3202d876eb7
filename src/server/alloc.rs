//! Memory from the server, so that `used_memory` and `maxmemory` see it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::os::raw::c_void;

use redis_module::raw;

/// The server's allocator, or the system's where no server has lent one: in tests and benches.
pub struct ServerAlloc;

/// What every server's allocator aligns to: some put a block's size before it. Larger alignments, which hardly
/// occur, are the system's business.
const SERVER_ALIGNMENT: usize = align_of::<usize>();

// SAFETY: each block is freed and resized by the allocator that gave it: which one that is follows from the
// layout's alignment, and from whether a server has lent its own, which it does once, before anything is
// allocated.
unsafe impl GlobalAlloc for ServerAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on; the function pointer is written once, at load.
        unsafe {
            match raw::RedisModule_Alloc {
                Some(alloc) if layout.align() <= SERVER_ALIGNMENT => alloc(layout.size()).cast(),
                _ => System.alloc(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        unsafe {
            match raw::RedisModule_Free {
                Some(free) if layout.align() <= SERVER_ALIGNMENT => free(block.cast::<c_void>()),
                _ => System.dealloc(block, layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe {
            match raw::RedisModule_Calloc {
                Some(calloc) if layout.align() <= SERVER_ALIGNMENT => calloc(1, layout.size()).cast(),
                _ => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe {
            match raw::RedisModule_Realloc {
                Some(realloc) if layout.align() <= SERVER_ALIGNMENT => {
                    realloc(block.cast::<c_void>(), size).cast()
                }
                _ => System.realloc(block, layout, size),
            }
        }
    }
}
