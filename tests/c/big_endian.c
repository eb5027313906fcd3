/* On a big-endian CPU every file is refused by name, and nothing of it is read wrongly: big_endian VECTORS_FOLDER. */
#include "check.h"
#include "grulet.h"

int main(int count, char **arguments)
{
    REQUIRE(count == 2, "usage: big_endian VECTORS_FOLDER");
    FILE *index = open_index(arguments[1]);
    char name[64];
    int files = 0;
    while (fscanf(index, "%63s %*u %*x", name) == 1) {
        guarded file = read_file(arguments[1], name, ".grulet");
        grulet_model model;
        const grulet_status status = grulet_model_open(&model, file.data, file.bytes);
        CHECK(status == GRULET_BIG_ENDIAN, "%s: %s", name, grulet_status_text(status));
        guarded_free(&file);
        files++;
    }
    fclose(index);
    CHECK(files > 0, "no files in %s", arguments[1]);
    CHECK(strstr(grulet_status_text(GRULET_BIG_ENDIAN), "big-endian") != NULL, "it says why");
    printf("%d files refused: %s\n", files, grulet_status_text(GRULET_BIG_ENDIAN));
    return finish("big_endian");
}
