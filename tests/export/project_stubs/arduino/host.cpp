#include "Arduino.h"

Console Serial;
void setup();
void loop();
int main()
{
    setup();
    loop();
}
