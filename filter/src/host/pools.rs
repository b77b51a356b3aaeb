//! The module's allocator: blocks that were given back lie ready, by their size.
//!
//! A request takes some dozen small blocks and gives them back. The allocator of the target (dlmalloc) looks for one that fits and
//! joins what lies side by side, each time anew; here the last block of the size is handed out again. How many lie ready is bounded for each
//! size, and those beyond go back to dlmalloc, so that memory that one size needed can be had in another.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Sizes are multiples of this, and so are the places of blocks (what dlmalloc gives anyway), in bytes.
const STEP: usize = 16;
/// The largest of them, in bytes.
const SMALL: usize = 1024;
const SMALL_SIZES: usize = SMALL / STEP;
/// Above it, the sizes are multiples of this, in bytes: the headers of a request, a token that is decoded.
const LARGE_STEP: usize = 512;
/// The largest blocks that lie ready, in bytes.
const LARGEST: usize = 4096;
const SIZES: usize = SMALL_SIZES + (LARGEST - SMALL) / LARGE_STEP;

#[global_allocator]
static POOLS: Pools = Pools(UnsafeCell::new([const { Pool { first: null_mut(), ready: 0 } }; SIZES]));

/// The most blocks of one size that lie ready: of all together, six tenths of a megabyte.
fn most(number: usize) -> u32 {
    if number < 8 {
        64
    } else if number < SMALL_SIZES {
        16
    } else {
        4
    }
}

struct Pools(UnsafeCell<[Pool; SIZES]>);

/// Blocks of one size, each of which says in its first word which is the next.
struct Pool {
    first: *mut Block,
    ready: u32,
}

struct Block {
    next: *mut Block,
}

// SAFETY: a Wasm VM has one thread, and nothing below calls anything that could come back here.
unsafe impl Sync for Pools {}

/// The number of the pool for a layout; one that there is not where it has none.
#[inline(always)]
fn number(layout: Layout) -> usize {
    let last = layout.size().wrapping_sub(1);
    if layout.align() > STEP {
        SIZES
    } else if last < SMALL {
        last / STEP
    } else {
        (last.wrapping_sub(SMALL) / LARGE_STEP).saturating_add(SMALL_SIZES)
    }
}

/// The size of a pool's blocks, in bytes.
fn size_of_pool(number: usize) -> usize {
    if number < SMALL_SIZES {
        number.wrapping_add(1).wrapping_mul(STEP)
    } else {
        number.wrapping_sub(SMALL_SIZES).wrapping_add(1).wrapping_mul(LARGE_STEP).wrapping_add(SMALL)
    }
}

/// The layout that all blocks of a pool have.
fn whole(number: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size is no more than `LARGEST`.
    unsafe { Layout::from_size_align_unchecked(size_of_pool(number), STEP) }
}

// SAFETY: a block comes from the system's allocator, with the layout of its pool, and goes back to it with the same; it is in its
// pool or in use, never both.
unsafe impl GlobalAlloc for Pools {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.take(layout.size(), layout.align()) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.give_back(pointer, layout.size(), layout.align()) }
    }

    /// A block that stays in its pool stays where it is, and dlmalloc extends large ones in place where it can.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        let grown = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let (from, to) = (number(layout), number(grown));
        if from >= SIZES && to >= SIZES {
            // SAFETY: neither has a pool, so that both are the system's as they are.
            return unsafe { System.realloc(pointer, layout, size) };
        }
        if from == to {
            return pointer;
        }
        // SAFETY: the caller's promise; both blocks have at least the bytes that are copied.
        unsafe {
            let new = self.alloc(grown);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(pointer, new, layout.size().min(size));
                self.dealloc(pointer, layout);
            }
            new
        }
    }
}

/// What the allocator does, with a layout in two numbers, in the order in which the compiler hands them to it: what it calls is then
/// only the call of one of these, and `wasm-opt` calls them without it.
impl Pools {
    #[inline(never)]
    unsafe fn take(&self, size: usize, align: usize) -> *mut u8 {
        // SAFETY: it was a layout.
        let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
        let number = number(layout);
        // SAFETY: there is one thread, and no other reference while this one lives.
        let pools = unsafe { &mut *self.0.get() };
        let Some(pool) = pools.get_mut(number) else {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: a block in a pool is as large as its pool says, and nobody's.
        match unsafe { pool.first.as_ref() } {
            Some(block) => {
                let taken = pool.first;
                pool.first = block.next;
                pool.ready = pool.ready.wrapping_sub(1);
                taken.cast()
            }
            // SAFETY: no size is 0.
            None => unsafe { System.alloc(whole(number)) },
        }
    }

    #[inline(never)]
    unsafe fn give_back(&self, pointer: *mut u8, size: usize, align: usize) {
        // SAFETY: it was a layout.
        let layout = unsafe { Layout::from_size_align_unchecked(size, align) };
        let number = number(layout);
        // SAFETY: there is one thread, and no other reference while this one lives.
        let pools = unsafe { &mut *self.0.get() };
        let Some(pool) = pools.get_mut(number) else {
            // SAFETY: the caller's promise; such a layout never had a pool.
            return unsafe { System.dealloc(pointer, layout) };
        };
        if pool.ready == most(number) {
            // SAFETY: `alloc` had it from the system with this layout.
            return unsafe { System.dealloc(pointer, whole(number)) };
        }
        let block = pointer.cast::<Block>();
        // SAFETY: the block is given up, large enough for a pointer, and its place is a multiple of `STEP`.
        unsafe { block.write(Block { next: pool.first }) };
        pool.first = block;
        pool.ready = pool.ready.wrapping_add(1);
    }
}
