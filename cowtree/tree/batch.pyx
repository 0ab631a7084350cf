# cython: language_level=3, autotestdict=False, auto_pickle=False, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Many look-ups at once. See `batch.pxd`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cowtree.layout cimport (
    ENTRY_INLINE, PAGE_COUNT, RUN_REFERENCE_SIZE, TREE_HEADER_SIZE, load16, prefetch,
)
from cowtree.pages.branch cimport branch_child, branch_find
from cowtree.pages.leaf cimport DAMAGED, FOUND, Entry, leaf_entry, leaf_find, leaf_guess
from cowtree.storage.fault_guard cimport FAULT, guarded, guarded_fn
from cowtree.tree.columns cimport Column
from cowtree.tree.cursor cimport TreeSource, raise_status, value_bytes
from cowtree.tree.search cimport LINE, prefetch_page
from cowtree.tree.view cimport PageView, TreeView, view_page, view_root

cdef enum:
    GROUP = 16                 # misses that a core has in flight, and some more
    PIECE = 256

cdef struct Search:
    const uint8_t* key
    uint32_t key_size
    int status                 # FOUND, ABSENT, or what is wrong with page `number`
    uint64_t number
    Entry entry                # when found; a run reference is copied to `reference`
    uint8_t* into              # where an inline value is to be copied
    uint8_t reference[RUN_REFERENCE_SIZE]

cdef struct Piece:
    const TreeView* view
    Search* searches
    uint32_t count


cdef list find_values(TreeSource source, const TreeView* view, list keys, object default):
    cdef Search searches[PIECE]
    cdef Search* search
    cdef Piece piece
    cdef Py_ssize_t start, total = len(keys)
    cdef uint32_t i
    cdef list values = [default] * total
    if view.root == 0:
        return values
    piece.view = view
    piece.searches = searches
    for start in range(0, total, PIECE):
        search_piece(source, &piece, keys, start)
        for i in range(piece.count):
            search = &searches[i]
            if search.status != FOUND:
                continue
            if search.entry.kind == ENTRY_INLINE:
                found = PyBytes_FromStringAndSize(NULL, search.entry.value_size)
                search.into = <uint8_t*>PyBytes_AS_STRING(found)
            else:
                search.into = NULL
                found = value_bytes(view, &search.entry, False, source.source_path())
            values[start + i] = found
        copy_piece(source, &piece)
    return values


cdef Column find_column(TreeSource source, const TreeView* view, list keys):
    cdef Search searches[PIECE]
    cdef Search* search
    cdef Piece piece
    cdef Column column = Column()
    cdef Py_ssize_t start, total = len(keys)
    cdef uint64_t first_row
    cdef uint32_t i
    piece.view = view
    piece.searches = searches
    for start in range(0, total, PIECE):
        if view.root == 0:
            for _ in range(min(total - start, PIECE)):
                column.add_value(None)
            continue
        search_piece(source, &piece, keys, start)
        first_row = column.rows
        for i in range(piece.count):
            search = &searches[i]
            if search.status != FOUND:
                column.add_value(None)
            elif search.entry.kind == ENTRY_INLINE:
                column.add_room(search.entry.value_size)
            else:
                column.add_value(value_bytes(view, &search.entry, False, source.source_path()))
        for i in range(piece.count):               # only now, for the column moves when it grows
            searches[i].into = column.place(first_row + i)
        copy_piece(source, &piece)
    return column


cdef int search_piece(TreeSource source, Piece* piece, list keys, Py_ssize_t start) except -1:
    """Search for PIECE keys from `start` on, or as many as are left."""
    cdef const TreeView* view = piece.view
    cdef uint32_t i
    piece.count = <uint32_t>min(len(keys) - start, PIECE)
    for i in range(piece.count):
        key = <bytes?>keys[start + i]
        piece.searches[i].key = <const uint8_t*>PyBytes_AS_STRING(key)
        piece.searches[i].key_size = <uint32_t>min(PyBytes_GET_SIZE(key), 65537)     # no key in a tree is as long
    if view.space.mirrored:
        run_guarded(run_searches, piece)
    else:
        with nogil:
            run_guarded(run_searches, piece)
    return check_piece(source, piece)


cdef int copy_piece(TreeSource source, Piece* piece) except -1:
    """Copy the inline values that were found to where they are wanted."""
    run_guarded(run_copies, piece)
    return check_piece(source, piece)


cdef int check_piece(TreeSource source, const Piece* piece) except -1:
    cdef uint32_t i
    for i in range(piece.count):
        if piece.searches[i].status < 0:
            raise_status(source.source_path(), piece.searches[i].number, piece.searches[i].status)
    return 0


cdef void run_guarded(guarded_fn run, Piece* piece) noexcept nogil:
    """Run over the searches; where memory cannot be read, the one that was at it has failed, and with it the piece."""
    cdef const TreeView* view = piece.view
    if guarded(
        run, piece, view.space.base, view.space.base + (view.space.page_limit << view.space.shift)
    ) == FAULT:
        piece.searches[0].status = FAULT
        piece.searches[0].number = view.root


cdef int run_searches(void* argument) noexcept nogil:
    cdef Piece* piece = <Piece*>argument
    cdef uint32_t start = 0
    while start < piece.count:
        search_group(piece.view, piece.searches + start, min(piece.count - start, <uint32_t>GROUP))
        start += GROUP
    return 0


cdef int run_copies(void* argument) noexcept nogil:
    cdef Piece* piece = <Piece*>argument
    cdef Search* search
    cdef uint32_t i
    for i in range(piece.count):
        search = &piece.searches[i]
        if search.status == FOUND and search.entry.kind == ENTRY_INLINE:
            memcpy(search.into, search.entry.value, search.entry.value_size)
    return 0


cdef void search_group(const TreeView* view, Search* searches, uint32_t count) noexcept nogil:
    """Up to GROUP searches, level by level. What is asked for here is what `branch_find` and `leaf_find` touch first."""
    cdef PageView at[GROUP]
    cdef uint64_t children[GROUP]
    cdef uint32_t slot = 0, level = view.level, i
    cdef const uint8_t* page
    for i in range(count):
        searches[i].status = view_root(view, &at[i])
    while level:
        level -= 1
        for i in range(count):
            if searches[i].status < 0:
                continue
            searches[i].status = branch_find(at[i].page, at[i].size, searches[i].key, searches[i].key_size, &slot)
            children[i] = branch_child(at[i].page, slot)
            if children[i] < at[i].limit:
                prefetch_page(view.space.base + (children[i] << view.space.shift), at[i].size, level)
        for i in range(count):
            if searches[i].status < 0:
                continue
            searches[i].status = view_page(view, children[i], level, at[i].limit, False, &at[i])
            if level and searches[i].status >= 0:
                # The heads of a branch, whose place its count tells.
                page = at[i].page + TREE_HEADER_SIZE + 24 * load16(at[i].page + PAGE_COUNT)
                prefetch(page)
                prefetch(page + LINE)
                prefetch(page + 3 * LINE)
                prefetch(page + 5 * LINE)
    for i in range(count):
        if searches[i].status >= 0:
            page = leaf_guess(at[i].page, at[i].size, searches[i].key, searches[i].key_size)
            prefetch(page)
            prefetch(page + LINE)
    for i in range(count):
        if searches[i].status >= 0:
            searches[i].status = leaf_find(at[i].page, at[i].size, searches[i].key, searches[i].key_size, &slot)
            if searches[i].status == FOUND:
                take_entry(&searches[i], &at[i], slot)
        searches[i].number = at[i].number


cdef inline void take_entry(Search* search, const PageView* at, uint32_t slot) noexcept nogil:
    cdef uint32_t size
    if leaf_entry(at.page, at.size, slot, &search.entry) < 0:
        search.status = DAMAGED
    elif search.entry.kind == ENTRY_INLINE:
        size = LINE
        while size < search.entry.value_size and size < 8 * LINE:
            prefetch(search.entry.value + size)
            size += LINE
    else:
        memcpy(search.reference, search.entry.value, min(search.entry.value_size, <uint32_t>RUN_REFERENCE_SIZE))
        search.entry.value = search.reference
