/* golden MODEL INPUT OUTPUT: everything of grulet.hpp on a golden vector; 0 if all bits are the expected ones. */
#include <grulet.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

namespace {

template <class T>
std::vector<T> read_file(const char *path)
{
    std::vector<T> all(std::size_t{1} << 18);
    std::FILE *opened = std::fopen(path, "rb");
    all.resize(opened ? std::fread(all.data(), sizeof(T), all.size(), opened) : 0);
    if (opened) std::fclose(opened);
    return all;
}

void expect(bool holds, const char *what)
{
    if (holds) return;
    std::printf("failed: %s\n", what);
    std::exit(1);
}
#define EXPECT(...) expect(__VA_ARGS__, #__VA_ARGS__)

bool same(const std::vector<float> &a, const std::vector<float> &b)
{
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

} // namespace

int main(int count, char **arguments)
{
    EXPECT(count == 4);
    const auto file = read_file<unsigned char>(arguments[1]);
    const auto x = read_file<float>(arguments[2]), expected = read_file<float>(arguments[3]);

    const auto nothing = grulet::model::open(std::array<std::byte, 4>{});
    EXPECT(!nothing && nothing.status() != GRULET_OK && std::strlen(nothing.message()) > 9);
    const auto opened = grulet::model::open(file);
    EXPECT(opened && opened.status() == GRULET_OK && opened->input_width() == opened.value().input_width());
    const grulet::model model = *opened;
    const std::size_t in = model.input_width(), out = model.output_width(), frames = x.size() / in;
    EXPECT(frames > 2 && frames * out == expected.size() && !model.needs_sequence() && model.weight_bytes() > 0);

    auto made = model.make_stream();
    EXPECT(static_cast<bool>(made));
    grulet::stream stream = std::move(*made);
    std::vector<float> y(expected.size());
    for (std::size_t f = 0; f < frames; f++)
        EXPECT(stream.step(grulet::span<float>(&y[f * out], out), grulet::span<const float>(&x[f * in], in)) == GRULET_OK);
    EXPECT(same(y, expected)); /* steps */

    auto blocks = model.make_stream(5).value();
    y.assign(y.size(), 0.0f);
    EXPECT(blocks.run(y, x, frames) == GRULET_OK && same(y, expected));

    std::vector<std::byte> memory(model.stream_bytes(3)), blob(model.save_bytes());
    EXPECT(model.make_stream(grulet::span<std::byte>(memory.data(), memory.size() - 1), 3).status() == GRULET_SMALL_MEMORY);
    auto borrowing = model.make_stream(memory, 3).value();
    const std::vector<float> first(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(2 * in));
    const std::vector<float> rest(x.begin() + static_cast<std::ptrdiff_t>(2 * in), x.end());
    const std::vector<float> answers(expected.begin() + static_cast<std::ptrdiff_t>(2 * out), expected.end());
    std::vector<float> y_first(2 * out), y_rest(answers.size());
    EXPECT(borrowing.run(y_first, first, 2) == GRULET_OK && borrowing.save(blob) == GRULET_OK);
    auto cloned = borrowing.clone().value();
    EXPECT(cloned.run(y_rest, rest, frames - 2) == GRULET_OK && same(y_rest, answers)); /* clone */
    EXPECT(stream.restore(blob) == GRULET_OK);
    EXPECT(stream.run(y_rest, rest, frames - 2) == GRULET_OK && same(y_rest, answers)); /* save and restore */
    EXPECT(stream.restore(grulet::span<const std::byte>(blob.data(), blob.size() - 1)) == GRULET_BAD_STATE);
    borrowing.reset();
    EXPECT(borrowing.run(y, x, frames) == GRULET_OK && same(y, expected));
    stream = std::move(cloned);
    stream.reset();
    EXPECT(stream.run(y, x, frames) == GRULET_OK && same(y, expected));

    constexpr std::size_t voices = 3;
    auto pool = model.make_pool(voices).value();
    std::vector<float> rows(voices * in), y_rows(voices * out), y_one(out);
    for (std::size_t f = 0; f < frames; f++) {
        for (std::size_t v = 0; v < voices; v++) std::memcpy(&rows[v * in], &x[f * in], in * sizeof(float));
        EXPECT(pool.step(y_rows, rows) == GRULET_OK);
        for (std::size_t v = 0; v < voices; v++)
            EXPECT(std::memcmp(&y_rows[v * out], &expected[f * out], out * sizeof(float)) == 0);
    }
    pool[1].reset();
    rows.resize(in);
    std::memcpy(rows.data(), x.data(), in * sizeof(float));
    EXPECT(pool.size() == voices && pool[1].step(y_one, rows) == GRULET_OK);
    EXPECT(std::memcmp(y_one.data(), expected.data(), out * sizeof(float)) == 0);
    EXPECT(grulet_step(pool[2].get(), y_one.data(), rows.data()) == GRULET_OK);

    EXPECT(stream.step(y_one, x) == GRULET_WRONG_LENGTH && stream.step(y, rows) == GRULET_WRONG_LENGTH);
    EXPECT(stream.run(y, x, frames - 1) == GRULET_WRONG_LENGTH && pool.step(y_one, rows) == GRULET_WRONG_LENGTH);
    rows[0] = std::nanf("");
    EXPECT(stream.step(y_one, rows) == GRULET_BAD_FRAME);

#if __cplusplus >= 202002L
    stream.reset();
    EXPECT(stream.step(std::span(y).first(out), std::span(x).first(in)) == GRULET_OK);
    EXPECT(grulet::model::open(std::as_bytes(std::span(file))).status() == GRULET_OK);
#endif
#if defined(__cpp_exceptions)
    try {
        grulet::model::open(blob).value();
        EXPECT(false);
    } catch (const grulet::error &error) {
        EXPECT(error.status() == GRULET_NOT_A_MODEL || error.status() == GRULET_WRONG_SIZE);
    }
#endif
    std::printf("%zu frames: the same bits, C++%ld\n", frames, __cplusplus / 100 % 100);
}
