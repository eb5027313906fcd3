/* grulet for C++17 and later: models, streams and pools that clean up behind themselves.  Header only, over grulet.h.
 *
 *     auto model = grulet::model::open(file);              // `file`: any contiguous bytes, which stay in place
 *     if (!model) return fail(model.message());
 *     auto stream = model->make_stream();                  // its own memory; make_stream(memory): yours
 *     if (stream->step(y, x) != GRULET_OK) ...             // once per frame; y and x: arrays, vectors, std::span, ...
 *
 * Nothing here needs exceptions or RTTI, and nothing throws unless you say so: value() and grulet::check throw
 * grulet::error, and where exceptions are off they end the program (std::abort).  Only make_stream(), make_pool() and
 * clone() allocate, once each.  What grulet.h says of threads, memory and errors holds; beyond it all lengths are checked:
 * GRULET_WRONG_LENGTH.
 */
#ifndef GRULET_HPP
#define GRULET_HPP

#include "grulet.h"

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace grulet {

/* A status other than GRULET_OK, thrown; what() is its English sentence. */
class error : public std::exception {
public:
    explicit error(grulet_status status) noexcept : status_(status) {}
    grulet_status status() const noexcept { return status_; }
    const char *what() const noexcept override { return grulet_status_text(status_); }

private:
    grulet_status status_;
};

/* Throw grulet::error unless the status is GRULET_OK. */
inline void check(grulet_status status)
{
    if (status == GRULET_OK) return;
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    throw error(status);
#else
    std::abort();
#endif
}

/* A T, or the status that says why there is none.  Use `if (result)`, then `*result` and `result->`; or value(). */
template <class T>
class [[nodiscard]] result {
public:
    result(T &&value) noexcept : value_(std::move(value)), status_(GRULET_OK) {}
    result(grulet_status status) noexcept : status_(status) {} /* not GRULET_OK */

    explicit operator bool() const noexcept { return value_.has_value(); }
    grulet_status status() const noexcept { return status_; }
    const char *message() const noexcept { return grulet_status_text(status_); }

    /* Only if there is a T. */
    T &operator*() & noexcept { return *value_; }
    T &&operator*() && noexcept { return *std::move(value_); }
    const T &operator*() const & noexcept { return *value_; }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }

    /* The T; if there is none, grulet::error is thrown. */
    T &value() & { return check(status_), *value_; }
    T &&value() && { return check(status_), *std::move(value_); }
    const T &value() const & { return check(status_), *value_; }

private:
    std::optional<T> value_;
    grulet_status status_;
};

/* Elements that somebody else owns: what std::span is in C++20, from which it converts, as from arrays and vectors. */
template <class T>
class span {
    template <class Container>
    using converts = std::enable_if_t<
        std::is_convertible_v<std::remove_pointer_t<decltype(std::data(std::declval<Container &>()))> (*)[], T (*)[]>>;

public:
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class Container, class = converts<Container>>
    constexpr span(Container &&container) noexcept : data_(std::data(container)), size_(std::size(container)) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }

private:
    T *data_;
    std::size_t size_;
};

class stream;
class pool;

namespace detail {

/* Memory of its own, or nothing. */
inline std::unique_ptr<std::byte[]> allocate(std::size_t bytes) noexcept
{
    return std::unique_ptr<std::byte[]>(new (std::nothrow) std::byte[bytes]);
}

/* Are these `rows` rows of `width`? */
template <class T>
bool fits(span<T> vector, std::size_t rows, std::size_t width) noexcept
{
    return vector.size() % width == 0 && vector.size() / width == rows;
}

} // namespace detail

/* A file, checked.  A small value that points into the file: copy it as you like. */
class model {
public:
    /* Borrows the file, at a multiple of 4 (64 is fastest): it must stay in place, unchanged, as long as any model, stream
     * or pool made from it is used. */
    static result<model> open(const void *file, std::size_t bytes) noexcept
    {
        model opened;
        const grulet_status status = grulet_model_open(&opened.model_, file, bytes);
        if (status != GRULET_OK) return status;
        return opened;
    }
    template <class Bytes>
    static result<model> open(const Bytes &file) noexcept
    {
        static_assert(sizeof *std::data(file) == 1, "a file is an array, a vector, a span, ... of bytes");
        return open(std::data(file), std::size(file));
    }

    /* Elements of the input vector and of the output vector of one frame. */
    std::size_t input_width() const noexcept { return grulet_input_width(&model_); }
    std::size_t output_width() const noexcept { return grulet_output_width(&model_); }

    /* Runs whole sequences only: stream::run, no steps. */
    bool needs_sequence() const noexcept { return grulet_needs_sequence(&model_) != 0; }

    /* Bytes of the file that one frame reads, of a stream's memory, and of a saved state. */
    std::size_t weight_bytes() const noexcept { return grulet_weight_bytes(&model_); }
    std::size_t stream_bytes(std::size_t block = 1) const noexcept { return grulet_stream_bytes(&model_, block); }
    std::size_t save_bytes() const noexcept { return grulet_save_bytes(&model_); }

    /* A stream at the model's initial state.  `block`: frames that a run takes together, as in grulet_stream_bytes.  Its
     * memory is its own, or yours: stream_bytes(block) bytes that outlive it.  GRULET_SMALL_MEMORY if there are too few. */
    result<stream> make_stream(std::size_t block = 1) const noexcept;
    result<stream> make_stream(span<std::byte> memory, std::size_t block = 1) const noexcept;

    /* `count` streams, stepped together over one read of the weights. */
    result<pool> make_pool(std::size_t count) const noexcept;

    /* For the functions of grulet.h. */
    const grulet_model *get() const noexcept { return &model_; }

private:
    model() noexcept : model_() {}
    grulet_model model_;
};

/* The state of one voice.  It moves and does not copy (clone() does); what was moved from may only be assigned to. */
class stream {
public:
    /* One frame: y[output width] from x[input width].  A bad frame is refused, and then nothing has changed. */
    [[nodiscard]] grulet_status step(span<float> y, span<const float> x) noexcept
    {
        return fits(y, x, 1) ? grulet_step(stream_, y.data(), x.data()) : GRULET_WRONG_LENGTH;
    }

    /* `frames` frames, row after row, with the bits of as many steps.  A bad frame anywhere refuses the whole call. */
    [[nodiscard]] grulet_status run(span<float> y, span<const float> x, std::size_t frames) noexcept
    {
        return fits(y, x, frames) ? grulet_run(stream_, y.data(), x.data(), frames) : GRULET_WRONG_LENGTH;
    }

    /* Back to the model's initial state. */
    void reset() noexcept { grulet_stream_reset(stream_); }

    /* The state as bytes, model::save_bytes() of them, for later or for another CPU. */
    [[nodiscard]] grulet_status save(span<std::byte> blob) const noexcept
    {
        return grulet_save(stream_, blob.data(), blob.size());
    }
    [[nodiscard]] grulet_status restore(span<const std::byte> blob) noexcept
    {
        return grulet_restore(stream_, blob.data(), blob.size());
    }

    /* Another stream with the same block and state, in memory of its own. */
    result<stream> clone() const noexcept
    {
        auto copy = model_.make_stream(block_);
        if (!copy) return copy;
        const auto blob = detail::allocate(model_.save_bytes());
        if (!blob) return GRULET_SMALL_MEMORY;
        const span<std::byte> state(blob.get(), model_.save_bytes());
        grulet_status status = save(state);
        if (status == GRULET_OK) status = copy->restore(state);
        if (status != GRULET_OK) return status;
        return copy;
    }

    /* For the functions of grulet.h. */
    grulet_stream *get() const noexcept { return stream_; }

private:
    friend class model;
    friend class pool;
    using own_memory = std::unique_ptr<std::byte[]>;

    stream(const model &from, std::size_t block, grulet_stream *made, own_memory memory = nullptr) noexcept
        : model_(from), block_(block), stream_(made), memory_(std::move(memory)) {}

    bool fits(span<float> y, span<const float> x, std::size_t frames) const noexcept
    {
        return detail::fits(y, frames, model_.output_width()) && detail::fits(x, frames, model_.input_width());
    }

    model model_;
    std::size_t block_;
    grulet_stream *stream_;
    own_memory memory_; /* empty if the memory is somebody else's */
};

/* Streams of one model that step together: the weights are read once for all of them, and each has the bits of a stream by
 * itself.  Moves and does not copy.  Belongs to one thread at a time. */
class pool {
public:
    /* One frame of every stream: y[size][output width] from x[size][input width].  A bad frame refuses the whole call. */
    [[nodiscard]] grulet_status step(span<float> y, span<const float> x) noexcept
    {
        const bool fit = detail::fits(y, size_, model_.output_width()) && detail::fits(x, size_, model_.input_width());
        return fit ? grulet_step_many(streams_.get(), size_, y.data(), x.data()) : GRULET_WRONG_LENGTH;
    }

    std::size_t size() const noexcept { return size_; }

    /* Stream i < size(), to step, save, restore or reset by itself.  Its memory is the pool's, which must outlive it. */
    stream operator[](std::size_t i) noexcept { return stream(model_, 1, streams_[i]); }

private:
    friend class model;
    explicit pool(const model &from) noexcept : model_(from) {}

    model model_;
    std::size_t size_ = 0;
    std::unique_ptr<std::byte[]> memory_;
    std::unique_ptr<grulet_stream *[]> streams_;
};

inline result<stream> model::make_stream(span<std::byte> memory, std::size_t block) const noexcept
{
    grulet_stream *made;
    const grulet_status status = grulet_stream_init(&made, memory.data(), memory.size(), &model_, block);
    if (status != GRULET_OK) return status;
    return stream(*this, block, made);
}

inline result<stream> model::make_stream(std::size_t block) const noexcept
{
    auto memory = detail::allocate(stream_bytes(block));
    if (!memory) return GRULET_SMALL_MEMORY;
    auto made = make_stream(span<std::byte>(memory.get(), stream_bytes(block)), block);
    if (made) made->memory_ = std::move(memory);
    return made;
}

inline result<pool> model::make_pool(std::size_t count) const noexcept
{
    pool made(*this);
    const std::size_t bytes = stream_bytes();
    if (count > static_cast<std::size_t>(-1) / bytes) return GRULET_SMALL_MEMORY;
    made.memory_ = detail::allocate(count * bytes);
    made.streams_.reset(new (std::nothrow) grulet_stream *[count]);
    if (!made.memory_ || !made.streams_) return GRULET_SMALL_MEMORY;
    for (; made.size_ < count; made.size_++) {
        const auto i = made.size_;
        const grulet_status status = grulet_stream_init(&made.streams_[i], &made.memory_[i * bytes], bytes, &model_, 1);
        if (status != GRULET_OK) return status;
    }
    return made;
}

} // namespace grulet

#endif
