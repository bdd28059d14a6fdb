#include <stdio.h>

int main(void) {
    puts("hello from an image");
    return 0;
}
