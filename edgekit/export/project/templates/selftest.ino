// Runs @name@ on the vectors in golden.h and prints what came out at 115200 baud. SPDX-License-Identifier: 0BSD
#include <@name@.h>
#include <string.h>

#include "golden.h"

@differ@
void setup()
{
    Serial.begin(115200);
    while (!Serial) {
    }
    int32_t failed = 0;
    Serial.print("edgekit 1 @name@ ");
    Serial.println(GOLDEN_COUNT);
    for (int32_t i = 0; i < GOLDEN_COUNT; i++) {
        int32_t different = 0;
@feed@
        const uint32_t start = micros();
        const int32_t status = @run@();
        const uint32_t time = micros() - start;
        const @type@ *const scores = @output@();
        int32_t best = 0;
        for (int32_t j = 1; j < @size@; j++) {
            best = scores[j] > scores[best] ? j : best;
        }
@compare@
        failed += status != 0 || different != 0;
        Serial.print("run ");
        Serial.print(i);
        Serial.print(" status ");
        Serial.print(status);
        Serial.print(" different ");
        Serial.print(different);
        Serial.print(" us ");
        Serial.print(time);
        Serial.print(" argmax ");
        Serial.print(best);
@label@
        Serial.println();
    }
    Serial.println(failed == 0 ? "end pass" : "end fail");
}

void loop()
{
}
